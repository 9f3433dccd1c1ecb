from __future__ import annotations
import time
from pathlib import Path
from orchestrator import Orchestrator, SpawnRefused, agent, Context
from orchestrator.engine.deps import Deps
from tests.support.processes import programs
from tests.support.waiting import wait_until

def test_cancel_lost_between(deps, settings, tmp_path):
    ledger, go = tmp_path/"l", tmp_path/"go"; ledger.touch()
    with programs(settings, tmp_path) as start, Orchestrator.from_settings(settings) as o:
        start.beat(); start.worker()
        h = o.spawn("hold", {"ledger": str(ledger), "until": str(go)})
        wait_until(ledger.read_text, "begun")
        deps.store.cancel([h.id], "CANCELLED", "PARENT_ENDED")   # crash before gate.cancel
        print(o.cancel(h.id), h.status())
        t=time.time()
        while deps.gate.held() and time.time()-t<15: time.sleep(.1)
        print("held", deps.gate.held(), time.time()-t, deps.gate.glance(h.id))
        go.touch()
        wait_until(lambda: deps.gate.held()==0, "free")
        assert 0

def test_refused_position(deps, settings, tmp_path):
    (tmp_path/"pos.py").write_text('''
from orchestrator import agent, Context, SpawnRefused, RetryPolicy
import pathlib
@agent("leaf")
def leaf(ctx: Context, n: int): return n
@agent("par", retry=RetryPolicy(max_attempts=3, first_delay=0.01, max_delay=0.01))
def par(ctx: Context, flag: str):
    hs=[]
    for n in (1, 2):
        try: hs.append(ctx.spawn("leaf", {"n": n}, on_limit="refuse" if n==1 else "queue"))
        except SpawnRefused as e: ctx.log.info("refused", code=e.code)
    r = ctx.wait(hs)
    if not pathlib.Path(flag).exists():
        pathlib.Path(flag).touch()
        raise ValueError("again")
    return r
''')
    with programs(settings, tmp_path) as start, Orchestrator.from_settings(settings) as o:
        start.beat(); w=start.worker("--concurrency","1", agents="pos")
        h = o.spawn("par", {"flag": str(tmp_path/"flag")})
        # free the limit for the second run
        wait_until(lambda: (tmp_path/"flag").exists(), "x")
        start.worker("--concurrency","4", agents="pos")
        try: print(h.result(20))
        except Exception as e: print(type(e), e)
        print(o.get(h.id).failures)
        print(w.log.read_text()[-1500:])
        assert 0

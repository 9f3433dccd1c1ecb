"""One run: load, faults, peace, judgement."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from tests.chaos import plan
from tests.chaos.house import GATE, House, house
from tests.chaos.inflict import Inflictor, Suffered
from tests.chaos.plan import Fault
from tests.chaos.times import Times, measure
from tests.chaos.witness import Witness, gather
from tests.rules.evidence import Evidence
from tests.rules.gate_view import look
from tests.rules.judge import Verdict, judge
from tests.support.waiting import wait_until

#: Seconds until the first fault.
CALM = 5.0
WORKERS, SPAWNERS = 4, 2
#: Whom faults happen to.
VICTIMS = (
    *(f"worker-{number}" for number in range(WORKERS)),
    *("beat-0", "beat-1"),
    *(f"spawner-{number}" for number in range(SPAWNERS)),
)


@dataclass(frozen=True)
class Wanted:
    """How long a run goes on: until all of these are reached."""

    seed: int
    seconds: float = 0.0
    instances: int = 0
    faults: int = 0
    #: a plan to be done again; it is done to its end
    plan: Sequence[Fault] = ()
    #: seconds that all get to end once there is peace
    peace: float = 240.0


@dataclass(frozen=True)
class Found:
    """What came out of a run."""

    wanted: Wanted
    seconds: float
    suffered: Sequence[Suffered]
    #: looks at what was under way, those of a closed gate, those at which a server was away
    looks: int
    closed: int
    blind: int
    verdict: Verdict
    evidence: Evidence
    #: what the first breach under way was seen in
    first: Evidence | None
    times: dict[str, Times]

    @property
    def ends(self) -> Counter[str]:
        """How instances ended."""
        return Counter(row["state"] for row in self.evidence.instances)


def run(folder: Path, wanted: Wanted) -> Found:
    """Do it; the logs, the ledgers and the plan stay in the folder."""
    began = time.monotonic()
    with house(folder, wanted.seed, WORKERS, SPAWNERS) as home:
        witness, inflictor = Witness(home), Inflictor(home)
        witness.start()
        _inflict(home, inflictor, wanted)
        suffered = inflictor.finish()
        plan.save(folder / "plan", [one.fault for one in suffered])
        say(f"{len(suffered)} faults are over; waiting until all has ended")
        _make_peace(home, wanted.peace)
        witness.close()
        evidence = gather(home, at_rest=True)
        verdict = witness.verdict + judge(evidence)
        return Found(
            wanted,
            time.monotonic() - began,
            suffered,
            witness.looks,
            witness.closed,
            witness.blind,
            verdict,
            evidence,
            witness.evidence,
            measure(suffered, evidence.events, _Names(home)),
        )


def _inflict(home: House, inflictor: Inflictor, wanted: Wanted) -> None:
    _pause(CALM)
    began = told = time.monotonic()
    for done, fault in enumerate(wanted.plan or plan.faults(wanted.seed, VICTIMS)):
        _pause(began + fault.at - time.monotonic())
        passed = time.monotonic() - began
        if not wanted.plan and _is_enough(home, wanted, passed, done):
            return
        inflictor.begin(fault)
        if time.monotonic() - told > 20:
            told = time.monotonic()
            say(f"{passed:.0f} s: {done} faults, {_spawned(home)} instances")


def _is_enough(home: House, wanted: Wanted, passed: float, done: int) -> bool:
    return passed >= wanted.seconds and done >= wanted.faults and _spawned(home) >= wanted.instances


def _make_peace(home: House, seconds: float) -> None:
    """Heal everything, spawn nothing more, and wait until all has ended."""
    home.heal()
    home.retire("spawner")
    with suppress(AssertionError):
        wait_until(lambda: not _live(home), "everything has ended", seconds)
        wait_until(lambda: _is_empty(home), "the gate is empty", 30.0)


def _live(home: House) -> int:
    # While the store is away, nobody knows.
    found = _count(home, "SELECT count(*) FROM instances WHERE ended_at IS NULL")
    return 1 if found is None else found


def _spawned(home: House) -> int:
    return _count(home, "SELECT count(*) FROM instances") or 0


def _count(home: House, text: str) -> int | None:
    """A number from the store; None while it is away."""
    try:
        with psycopg.connect(home.servers.database_url, connect_timeout=2) as db:
            row = db.execute(text.encode()).fetchone()
            return None if row is None else int(row[0])
    except psycopg.Error:
        return None


def _is_empty(home: House) -> bool:
    with redis.Redis.from_url(home.servers.redis_url, decode_responses=True) as client:
        return not look(client, GATE).remains


class _Names:
    """What the worker of an inmate was called at a time, if it did anything."""

    def __init__(self, home: House) -> None:
        self._home = home

    def __call__(self, victim: str, at: float) -> str:
        if not victim:
            return ""
        lives = [pid for pid, began in self._home.inmate(victim).lives if began < at]
        path = self._home.ledger / f"name-{lives[-1]}" if lives else None
        return path.read_text() if path is not None and path.exists() else ""


def _pause(seconds: float) -> None:
    threading.Event().wait(max(0.0, seconds))


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

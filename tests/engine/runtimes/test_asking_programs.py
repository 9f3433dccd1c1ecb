"""What programs ask for while they run: children, waits, and what they are told of mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from tests.engine.bench import Bench
from tests.engine.runtimes.programs import ended, python

UNKNOWN = "01a1fef9-4290-7c46-a463-60453a6ea7df"
#: Sends what it is given in `say`, line by line, and answers all that it is told.
ASK = """
import json, sys
start = json.loads(sys.stdin.readline())
heard = []
for one in start["args"]["say"]:
    one = json.loads(json.dumps(one).replace("LAST", heard[-1].get("id", "") if heard else ""))
    print(json.dumps(one), flush=True)
    heard.append(json.loads(sys.stdin.readline()))
print(json.dumps({"type": "result", "value": heard}))
"""


def heard(bench: Bench, *say: dict[str, Any]) -> list[Any]:
    """What an interactive program is answered."""
    python(bench, ASK, interactive=True)
    one = bench.spawn("program", {"say": list(say)})
    bench.work_until(lambda: bench.row(one).state.is_terminal, "it has ended")
    assert bench.row(one).state is State.COMPLETED, bench.row(one).error
    return list(bench.row(one).result)


def test_spawn_and_wait(bench: Bench) -> None:
    spawned, waited = heard(
        bench,
        {"type": "spawn", "agent": "add", "args": {"a": 1, "b": 2}, "ref": "x"},
        {"type": "wait", "ids": ["LAST"]},
    )
    assert (spawned["type"], spawned["ref"], waited["type"]) == ("spawned", "x", "waited")
    [child] = waited["results"]
    assert (child["id"], child["state"], child["result"]) == (spawned["id"], "completed", 3)
    row = bench.row(spawned["id"])
    assert row.depth == 1


def test_it_gives_its_slot_back_while_it_waits(bench: Bench) -> None:
    bench.offer(1)
    spawn = {"type": "spawn", "agent": "add", "args": {"a": 1}}
    assert heard(bench, spawn, {"type": "wait", "ids": ["LAST"]})[1]["results"][0]["result"] == 2
    assert bench.parked == [+1, -1]


def test_a_failed_child_is_an_answer(bench: Bench) -> None:
    def fail(ctx: Any) -> None:
        raise ValueError("as asked")

    bench.agent("fails", fail, retry=RetryPolicy.never())
    answers = heard(bench, {"type": "spawn", "agent": "fails"}, {"type": "wait", "ids": ["LAST"]})
    [child] = answers[1]["results"]
    assert (child["state"], child["error"]["message"]) == ("failed", "as asked")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "spawn", "agent": "nobody"}, "UNKNOWN_AGENT"),
        ({"type": "spawn"}, "INVALID_MESSAGE"),
        ({"type": "spawn", "agent": "add", "colour": 1}, "INVALID_MESSAGE"),
        ({"type": "spawn", "agent": "add", "args": [1]}, "INVALID_ARGUMENTS"),
        ({"type": "spawn", "agent": "add", "args": {"a": 1}, "timeout": "x"}, None),
        ({"type": "wait"}, "INVALID_MESSAGE"),
        ({"type": "wait", "ids": []}, "INVALID_MESSAGE"),
        ({"type": "wait", "ids": ["x"]}, "INVALID_ID"),
        ({"type": "wait", "ids": [UNKNOWN]}, "INSTANCE_NOT_FOUND"),
        ({"type": "wait", "ids": ["x"], "needs": 2}, "INVALID_MESSAGE"),
        ({"type": "wait", "ids": ["x"], "timeout": "1"}, "INVALID_MESSAGE"),
        ({"type": "cancel"}, "INVALID_MESSAGE"),
        ({"type": "sing"}, "INVALID_MESSAGE"),
    ],
)
def test_mistakes_are_told(bench: Bench, message: dict[str, Any], code: str | None) -> None:
    [answer] = heard(bench, message)
    assert answer["type"] == "refused"
    assert code is None or answer["code"] == code, answer


def test_one_that_runs_again_finds_its_children(bench: Bench) -> None:
    """Its first spawn is its first child again."""
    script = """
    import json, sys
    start = json.loads(sys.stdin.readline())
    print('{"type": "spawn", "agent": "add", "args": {"a": 1}}', flush=True)
    child = json.loads(sys.stdin.readline())["id"]
    if start["attempt"] == 1:
        sys.exit(1)
    print(json.dumps({"type": "result", "value": child}))
    """
    python(bench, script, interactive=True, retry=RetryPolicy(first_delay=0, max_delay=0))
    one = bench.spawn("program")
    assert bench.execute(one).state is State.QUEUED
    bench.deps.gate.pump()
    row: Instance = bench.execute(one)
    assert row.state is State.COMPLETED
    assert {known.id for known in bench.deps.store.subtree(one)} == {one, row.result}


def test_it_does_not_read_its_answers(bench: Bench) -> None:
    """Answers that nobody reads hold nothing up."""
    script = """
    import json
    for n in range(5):
        print('{"type": "spawn", "agent": "add", "args": {"a": 1}}')
    print('{"type": "result", "value": 5}')
    """
    python(bench, script)
    one = ended(bench)
    assert one.result == 5


def test_messages_are_answered_in_order(bench: Bench) -> None:
    answers = heard(bench, *({"type": "cancel", "ref": n} for n in range(20)))
    assert json.dumps([one["ref"] for one in answers]) == json.dumps([*range(20)])

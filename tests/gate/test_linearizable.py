"""What eight processes do at once must be what one after another would have done, to the letter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest

from orchestrator.admission.keys import key
from tests.gate import crowd, observe, witness
from tests.gate.together import PROCESSES, all_at_once
from tests.gate.traced import GATE, Call, TracedGate, probed_library
from tests.gate.twins import JOURNAL, Twins, plain_reply

OPERATIONS = 60


@pytest.fixture
def twins(redis_url: str) -> Iterator[Twins]:
    """A gate with little room and its model, and a worker for each process."""
    with closing(TracedGate(redis_url, probed_library())) as gate:
        gate.open(crowd.LIMITS)
        twins = Twins(gate)
        for number in range(PROCESSES):
            pool = crowd.POOLS[(number + 1) % 2]
            gate.heartbeat(f"worker-{number}", pool, 2, [])
        twins.compare()
        yield twins


def test_the_order_of_the_server_explains_every_answer(twins: Twins, redis_url: str) -> None:
    marked, done = _marked_by_all(twins.gate, redis_url)
    assert min(done.values()) > PROCESSES
    found = observe.dump(twins.gate.redis, drain=True)
    order = _order(found[JOURNAL])
    tokens = [token for token, _ in order]
    # Only looks, which change nothing, leave no mark.
    assert {marked[token].name for token in {*marked} - {*tokens}} <= {"glance"}
    turns = [one.partition("-")[0] != other.partition("-")[0] for one, other in pairwise(tokens)]
    assert sum(turns) > len(tokens) / 4, "they were at it at once"
    for token, told in order:
        call = marked[token]
        twins.model.told, twins.model.allowance = [], told
        reply = getattr(twins.model, call.name)(**call.values)
        assert plain_reply(call) == reply, f"{call.name} {call.values} of {token}"
    wanted = observe.expected(GATE, twins.model)
    assert not observe.differences(observe.state_of(GATE, found), wanted)


def _order(journal: object) -> list[tuple[str, int]]:
    """The tokens of all runs in the order of the server, with how many each handed out."""
    order: list[tuple[str, int]] = []
    for line in journal if isinstance(journal, list) else ():
        kind, first, *_ = json.loads(line)
        if kind == "call":
            order.append((first, 0))
        elif kind == "LPUSH" or first.startswith(key(GATE, "granted")):
            token, told = order[-1]
            order[-1] = (token, told + 1)
    return order


def _marked_by_all(gate: TracedGate, url: str) -> tuple[dict[str, Call], Counter[str]]:
    parts = [(url, number, OPERATIONS) for number in range(PROCESSES)]
    results = all_at_once(witness.take_part, parts, gate)
    gate.redis.delete("here", "start")
    marked = {token: call for calls, _ in results for token, call in calls}
    return marked, sum((done for _, done in results), Counter[str]())

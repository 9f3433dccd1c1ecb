"""Agents of several worker processes share what a provider allows."""

from __future__ import annotations

import json
from itertools import pairwise

from orchestrator import Orchestrator
from orchestrator.engine.deps import Deps
from tests.support.processes import Programs

#: One at once, and then one every quarter of a second.
LLM = {"llm": {"requests_per_minute": 241, "burst": 0.001, "input_tokens_per_minute": 4_000}}
CALLS = 10


def test_calls_of_two_workers_come_evenly(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    """
    Given two workers and a resource of four calls a second
    When more agents than that call it at once
    Then the calls begin one by one, all succeed, and the ledger has each of them
    """
    for _ in range(2):
        start.worker(ORCHESTRATOR_RESOURCES=json.dumps(LLM))
    kinds = ["call-llm", "call-llm-async"] * (CALLS // 2)
    handles = [orchestrator.spawn(kind, {"tokens": 100}) for kind in kinds]
    calls = {handle.result(timeout=60) for handle in handles}
    records = [one for handle in handles for one in deps.store.resources.calls_of(handle.id)]
    assert {one.id for one in records} == calls
    assert len(calls) == CALLS
    assert {one.amounts.input_tokens for one in records} == {50}
    begun = sorted(one.started_at for one in records)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(begun)]
    # To the millisecond, which is what the gate counts in.
    assert min(gaps) >= 0.249
    [llm] = [one for one in orchestrator.breakers() if one.resource == "llm"]
    assert (llm.state, llm.calls, llm.waiting) == ("closed", 0, 0)

"""Danger: an agent does in a harness what it does not do on workers, or the other way round."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.testing import Harness
from tests.engine.bench import Bench
from tests.support.waiting import wait_until
from tests.testing.agents import AGENTS, DONE, ROOTS


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


def in_a_harness(name: str, args: dict[str, Any], *, replay_always: bool = False) -> Any:
    harness = Harness(replay_always=replay_always)
    for known, (function, spec) in AGENTS.items():
        harness.stand_in(known, function, **spec)
    handle = harness.spawn(name, args)
    result = handle.result()
    return result, _comparable(harness.steps(handle.id))


def on_workers(bench: Bench, name: str, args: dict[str, Any]) -> Any:
    for known, (function, spec) in AGENTS.items():
        bench.agent(known, function, **spec)
    bench.offer()
    instance_id = bench.spawn(name, args)
    with bench.working():
        wait_until(lambda: _has_ended(bench, instance_id), "the end")
    row = bench.row(instance_id)
    assert row.state is State.COMPLETED, row.error
    journal = sorted(bench.deps.store.journal.load(instance_id), key=lambda one: one.position)
    return row.result, _comparable(journal)


def _has_ended(bench: Bench, instance_id: str) -> bool:
    bench.deps.gate.pump()  # timers, as the beat looks after them
    return bench.row(instance_id).state.is_terminal


#: Ids, times, and who was the first: they differ from run to run.
DIFFERENT = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9-]{10}T[0-9:.+]+"
    r'|"(sequence|body)": \d+|"(before|outcome)": "\w+"'
)


def _comparable(entries: Iterable[Entry]) -> list[str]:
    """But for waits: who was the first is recorded only if something follows."""
    texts = [f"{one.label} {json.dumps(one.value)}" for one in entries if one.kind != "wait"]
    return [DIFFERENT.sub("...", text) for text in texts]


@pytest.mark.parametrize(("name", "args"), ROOTS, ids=[name for name, _ in ROOTS])
def test_the_same_results_journals_and_effects(
    bench: Bench, name: str, args: dict[str, Any]
) -> None:
    expected = on_workers(bench, name, args)
    effects = Counter(DONE)
    DONE.clear()
    assert in_a_harness(name, args) == expected
    assert effects == DONE


@pytest.mark.parametrize(("name", "args"), ROOTS, ids=[name for name, _ in ROOTS])
def test_the_same_when_everything_is_repeated(name: str, args: dict[str, Any]) -> None:
    result, journal = in_a_harness(name, args)
    effects = Counter(DONE)
    DONE.clear()
    again, journal_then = in_a_harness(name, args, replay_always=True)
    assert again == result
    # Tasks that run at once may come in another order.
    assert sorted(journal_then) == sorted(journal)
    assert effects == DONE

"""Danger: a judge that sees nothing lets everything pass. Each rule is broken here by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.domain.limits import Limits
from tests.rules.evidence import Accepted, Effect, Evidence, Refused, Row
from tests.rules.gate_view import GateView, Place, Waiting
from tests.rules.judge import RULES, judge, told

START = datetime(2026, 1, 1, tzinfo=UTC)
#: Milliseconds of the gate's clock at that time.
START_MS = int(START.timestamp() * 1000)


def row(one: str, state: str = "completed", **fields: Any) -> Row:
    """A row of `instances`."""
    ended = state in ("completed", "failed", "cancelled")
    known: Row = {
        "id": one,
        "state": state,
        "reason": None,
        "attempt": 1,
        "parent_id": None,
        "depth": 0,
        "session": "s",
        "tenant": "t",
        "idempotency_key": None,
        "result": None,
        "history": 0,
        "detached": False,
        "on_parent_end": "terminate",
        "started_at": START,
        "ended_at": START + timedelta(seconds=9) if ended else None,
    }
    return known | fields


def trail(one: str, *steps: tuple[str, int, str | None], first: int = 1) -> list[Row]:
    """Events through these states: (state, attempt, reason), a second apart."""
    states = [None, *(state for state, _, _ in steps)]
    return [
        {
            "instance_id": one,
            "sequence": first + number,
            "from_state": states[number],
            "to_state": state,
            "attempt": attempt,
            "reason": reason,
            "at": START + timedelta(seconds=number),
        }
        for number, (state, attempt, reason) in enumerate(steps)
    ]


LIFE = (("queued", 0, None), ("running", 1, None), ("completed", 1, None))
LOSS = (
    *(("queued", 0, None), ("running", 1, None), ("queued", 1, "LEASE_EXPIRED")),
    *(("running", 2, None), ("completed", 2, None)),
)
#: The same, but that the first attempt was told to try again.
RETRIED = tuple((state, n, "RETRY" if why else None) for state, n, why in LOSS)
STEP = {"instance_id": "a", "position": 0, "kind": "step", "name": "pay", "error": None}

#: Two that ended, a parent and its child.
QUIET = Evidence(
    instances=[row("a"), row("b", parent_id="a", depth=1)],
    events=[*trail("a", *LIFE), *trail("b", *LIFE, first=10)],
    steps=[STEP | {"attempt": 1}],
    effects=[Effect("a", 1, "pay")],
    accepted=[Accepted("a", "null")],
    refused=[Refused("t", "no", "QUEUE_FULL")],
)


def held(*ids: str, since: int = START_MS, **fields: Any) -> GateView:
    """A gate in which these run, in one session."""
    place = Place("dispatched", 1, "s", "t", "p", "kind", held_since=since)
    everybody = frozenset(ids)
    return GateView(
        places=dict.fromkeys(ids, place),
        leases=dict.fromkeys(ids, START_MS + 5000),
        slots=dict.fromkeys(place.scopes(), everybody),
        **fields,
    )


#: Two that run, at the limit.
BUSY = Evidence(
    instances=[row("a", "running"), row("b", "running", parent_id="a", depth=1)],
    events=[*trail("a", *LIFE[:2]), *trail("b", *LIFE[:2], first=10)],
    gate=held("a", "b"),
    limits=Limits(max_depth=1, session_concurrency=2),
    at_rest=False,
)


def lost(**fields: Any) -> Evidence:
    """One that lost an attempt and completed with the next, which paid."""
    known: dict[str, Any] = {
        "instances": [row("a", attempt=2)],
        "events": trail("a", *LOSS),
        "accepted": (),
        "steps": [STEP | {"attempt": 2}],
        "effects": [Effect("a", 1, "pay"), Effect("a", 2, "pay")],
    }
    return replace(QUIET, **(known | fields))


def waiting(**waits: set[str]) -> GateView:
    """A gate in which these wait for all of those."""
    open_waits = {one: Waiting(len(targets), frozenset(targets)) for one, targets in waits.items()}
    return GateView(waits=open_waits)


LAWFUL: dict[str, Evidence] = {
    "two that ended": QUIET,
    "two that run at their limit": BUSY,
    "one more than the limit, which ran before and was adopted": replace(
        BUSY,
        limits=Limits(session_concurrency=1),
        gate=held("a", "b", since=START_MS + 1001),
    ),
    "an action of an attempt that was lost, done again": lost(),
    "a child that was detached and lives on": replace(
        QUIET,
        instances=[row("a"), row("b", "running", parent_id="a", depth=1, detached=True)],
        events=[*trail("a", *LIFE), *trail("b", *LIFE[:2], first=10)],
        at_rest=False,
    ),
    "a row of waits": replace(BUSY, gate=waiting(a={"b"}, b={"c"})),
    "one of two, which is free": replace(
        BUSY,
        gate=GateView(
            waits={"a": Waiting(1, frozenset({"b", "c"})), "b": Waiting(1, frozenset({"a"}))}
        ),
    ),
    "a gate being filled": replace(BUSY, gate=held("a", "b", since=START_MS + 1001, is_open=False)),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_what_is_lawful_passes(name: str) -> None:
    verdict = judge(LAWFUL[name])
    assert not verdict.violations, told(verdict.violations)
    assert set(verdict.checks) == set(RULES)


def other(place: GateView, **fields: Any) -> Evidence:
    return replace(BUSY, gate=replace(place, **fields))


CYCLE = waiting(a={"b"}, b={"a"})
BREACHES: dict[str, tuple[str, Evidence]] = {
    # R1
    "accepted without a row": ("R1", replace(QUIET, accepted=[Accepted("z")])),
    "never ended": ("R1", replace(BUSY, gate=GateView(), at_rest=True)),
    "another result": ("R1", replace(QUIET, accepted=[Accepted("a", "7")])),
    # R2
    "one slot too many in a session": ("R2", replace(BUSY, limits=Limits(session_concurrency=1))),
    "one slot too many of a kind": ("R2", replace(BUSY, special={("agent", "kind"): 1})),
    "one slot too many in all": ("R2", replace(BUSY, limits=Limits(global_concurrency=1))),
    "one call too many": (
        "R2",
        replace(BUSY, gate=GateView(calls={"api": 3}), special={("calls", "api"): 2}),
    ),
    "one more than were adopted": (
        "R2",
        replace(
            BUSY,
            limits=Limits(session_concurrency=1),
            gate=replace(
                held("a", "b", "c"),
                places={**held("a", "b").places, **held("c", since=START_MS + 1001).places},
            ),
        ),
    ),
    "one spawn too many for a budget": (
        "R2",
        replace(BUSY, instances=[row("a", "running", budget={"spawns": 0}), BUSY.instances[1]]),
    ),
    "too deep": ("R2", replace(BUSY, limits=Limits(max_depth=0))),
    # R3
    "a slot without a lease": ("R3", other(held("a", "b"), leases={"a": START_MS})),
    "a lease without a slot": ("R3", other(held("a"), slots={})),
    "a lease of nobody": ("R3", other(held("a"), places={})),
    "in two places": ("R3", other(held("a"), standing={"expired": frozenset("a")})),
    "in no place": ("R3", other(GateView(), places={"a": Place("queued")})),
    "a place of nobody": ("R3", other(GateView(), backlog=frozenset("a"))),
    "something left": ("R3", replace(QUIET, gate=GateView(remains=("{g}:leases",)))),
    # R4
    "done by two of which none was lost": ("R4", lost(events=trail("a", *RETRIED))),
    "done twice by one": ("R4", lost(effects=[Effect("a", 2, "pay"), Effect("a", 2, "pay")])),
    "done and not recorded": ("R4", lost(steps=[])),
    "recorded and not done": (
        "R4",
        lost(effects=[Effect("b", 1, "pay")]),
    ),
    "recorded by one that never began": ("R4", lost(steps=[STEP | {"attempt": 3}])),
    "done by one that never began": ("R4", lost(effects=[Effect("a", 3, "pay")])),
    # R5
    "a live child of one that ended": (
        "R5",
        replace(
            QUIET,
            instances=[row("a"), row("b", "running", parent_id="a", depth=1)],
            events=[*trail("a", *LIFE), *trail("b", *LIFE[:2], first=10)],
            at_rest=False,
        ),
    ),
    "a detached child of one that was cancelled for its budget": (
        "R5",
        replace(
            QUIET,
            instances=[
                row("a", "cancelled", reason="BUDGET_EXCEEDED"),
                row("b", "running", parent_id="a", depth=1, detached=True),
            ],
            events=[],
            at_rest=False,
        ),
    ),
    "a child that ended much later": (
        "R5",
        replace(
            QUIET,
            instances=[
                row("a"),
                row("b", parent_id="a", depth=1, ended_at=START + timedelta(seconds=99)),
            ],
        ),
    ),
    # R6
    "two that wait for each other": ("R6", replace(BUSY, gate=CYCLE)),
    "a circle through a lock": (
        "R6",
        replace(BUSY, gate=replace(waiting(a={"lock:1 tx"}, b={"a"}), holders={"lock:1 tx": "b"})),
    ),
    # R7
    "never begun": (
        "R7",
        replace(QUIET, instances=[row("a", "failed", reason="AGENT_ERROR", started_at=None)]),
    ),
    # R8
    "no event of the end": ("R8", replace(QUIET, events=trail("a", *LIFE[:2]))),
    "two events of the end": ("R8", replace(QUIET, events=trail("a", *LIFE, LIFE[-1]))),
    "an event left out": ("R8", replace(QUIET, events=[QUIET.events[0], QUIET.events[2]])),
    "back from an end": ("R8", replace(QUIET, events=trail("a", *LIFE, *LIFE[1:]))),
    "an attempt begun twice": (
        "R8",
        replace(QUIET, events=trail("a", *LIFE[:2], ("queued", 1, "RETRY"), *LIFE[1:])),
    ),
    "an event of nobody": ("R8", replace(QUIET, events=trail("z", *LIFE))),
    # R9
    "refused and recorded": (
        "R9",
        replace(QUIET, instances=[row("a", idempotency_key="no"), QUIET.instances[1]]),
    ),
    "refused without a code": ("R9", replace(QUIET, refused=[Refused("t", "no", "")])),
    # R10
    "handed out by a closed gate": ("R10", other(held("a"), is_open=False)),
    "messages of a closed gate": ("R10", other(GateView(), is_open=False, messages=1)),
    "never opened again": ("R10", replace(QUIET, gate=GateView(is_open=False))),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_seen_and_named(name: str) -> None:
    rule, evidence = BREACHES[name]
    assert rule in {violation.rule for violation in judge(evidence).violations}


def test_every_rule_is_broken_here() -> None:
    assert {rule for rule, _ in BREACHES.values()} == set(RULES)


def test_every_judge_counts_what_it_looks_at() -> None:
    checks = (judge(QUIET) + judge(BUSY) + judge(LAWFUL["a row of waits"])).checks
    assert all(checks.values()), checks


def test_evidence_can_be_kept() -> None:
    lines: Callable[[Evidence], list[Any]] = lambda one: [  # noqa: E731  # used once, below
        json.loads(line) for line in one.to_lines()
    ]
    kinds = {line["is"] for line in lines(BUSY) + lines(QUIET)}
    assert kinds == {
        *("instances", "events", "steps", "effects", "accepted", "refused", "limits", "gate")
    }

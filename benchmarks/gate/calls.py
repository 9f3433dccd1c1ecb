"""Calls of resources, one client, one after the other: each taken and settled.

Fills `gate.bucket` (two buckets), `gate.breaker` (only a breaker), `gate.call` (four buckets, a
breaker and calls at once) with seconds of both scripts together, `gate.acquire` and `gate.settle`
with those of each, and the figures of the same names with `.server`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from benchmarks.gate.ground import Ground
from benchmarks.gate.verbs import Part, clocked
from benchmarks.samples import Samples
from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.instance import NewInstance
from orchestrator.domain.resource import Resource

#: A limit that is checked and never met.
_MANY = 1_000_000_000
_TENANT = "tenant"

RESOURCES = (
    Resource("bucket", _MANY, input_tokens_per_minute=_MANY, breaker=None),
    Resource("breaker", None),
    Resource(
        "call",
        _MANY,
        input_tokens_per_minute=_MANY,
        output_tokens_per_minute=_MANY,
        usd_per_hour=_MANY,
        concurrency=_MANY,
    ),
)
#: What each call is thought to take, and what it turns out to have taken.
ESTIMATE = Amounts(requests=1, input_tokens=1_200, output_tokens=800, usd=0.02)
USED: Mapping[str, float] = {"input_tokens": 1_180, "output_tokens": 412, "usd": 0.015}


def parts(ground: Ground, gate: Gate) -> list[Part]:
    """One for each resource, and one for the two scripts by themselves."""
    gate.declare(RESOURCES)
    pairs = [_pair(ground, gate, resource) for resource in RESOURCES]
    return [*pairs, lambda into: _apart(ground, gate, into)]


def _pair(ground: Ground, gate: Gate, resource: Resource) -> Part:
    def both(caller: Caller) -> None:
        acquire(gate, caller)
        settle(gate, caller)

    def part(into: Samples) -> None:
        callers = callers_of(resource.name, ground.plan.calls)
        clocked(ground, into, f"gate.{resource.name}", both, callers)

    return part


def _apart(ground: Ground, gate: Gate, into: Samples) -> None:
    callers = callers_of("call", ground.plan.calls)
    clocked(ground, into, "gate.acquire", lambda one: acquire(gate, one), callers)
    clocked(ground, into, "gate.settle", lambda one: settle(gate, one), callers)


def callers_of(resource: str, count: int) -> list[Caller]:
    """So many calls that are to be made."""
    return [Caller(str(uuid.uuid4()), resource, _TENANT) for _ in range(count)]


def caller_of(new: NewInstance) -> Caller:
    """The one call that an instance makes."""
    return Caller(new.id, "call", new.tenant, new.id)


def acquire(gate: Gate, caller: Caller) -> None:
    """Take what a call needs; here it is always there."""
    verdict = gate.acquire(caller, ESTIMATE, may_wait=True)
    if verdict.decision != "taken":
        raise RuntimeError(f"a call far below all limits was not let through: {verdict}")


def settle(gate: Gate, caller: Caller) -> None:
    """It went well and took less than was thought."""
    gate.settle_call(caller, Outcome.SUCCESS, USED)

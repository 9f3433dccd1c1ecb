"""R1 to R10, judged by what is left of a run.

One function a rule, all pure: evidence in, violations out. What has to hold at any moment is judged
always; what only has to come true in the end, when the evidence is `at_rest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.domain.verdict import Refusal
from tests.rules.evidence import Evidence
from tests.rules.rows import Books
from tests.rules.trails import fences, trails
from tests.rules.waits import starving


@dataclass(frozen=True)
class Violation:
    """One breach of a rule."""

    rule: str
    #: the instance it is about; empty where it is about none
    instance: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule} {self.instance} {self.what}"


@dataclass(frozen=True)
class Verdict:
    """What became of all checks."""

    #: rule -> how many single facts were looked at
    checks: dict[str, int]
    violations: list[Violation]

    def __add__(self, other: Verdict) -> Verdict:
        names = {*self.checks, *other.checks}
        counts = {name: self.checks.get(name, 0) + other.checks.get(name, 0) for name in names}
        return Verdict(counts, [*self.violations, *other.violations])


#: One fact: the instance it is about, and what is wrong with it; None where nothing is.
Fact = tuple[str, str | None]
Rule = Callable[[Evidence, Books], Iterator[Fact]]

#: Reasons for which an instance may end without ever having been begun.
UNBEGUN = frozenset(
    {"CANCELLED", "PARENT_ENDED", "QUEUE_TIMEOUT", "BUDGET_EXCEEDED", "DEPENDENCY_FAILED"}
)
#: Seconds by which a child may end after its parent: both ends are of transactions that overlap.
OVERLAP = 30.0


def judge(evidence: Evidence) -> Verdict:
    """Look at everything."""
    books = Books.of(evidence)
    checks: dict[str, int] = {}
    violations: list[Violation] = []
    for name, rule in RULES.items():
        facts = list(rule(evidence, books))
        checks[name] = len(facts)
        violations += [Violation(name, one, wrong) for one, wrong in facts if wrong]
    return Verdict(dict(checks), violations)


def _r1_nothing_is_lost(evidence: Evidence, books: Books) -> Iterator[Fact]:
    for one in evidence.accepted:
        yield one.instance, None if one.instance in books.rows else "was accepted and has no row"
    if not evidence.at_rest:
        return
    for row in evidence.instances:
        ended = row["ended_at"] is not None
        yield row["id"], None if ended else f"has not ended: {row['state']} {row['reason']}"
    for one in evidence.accepted:
        yield one.instance, books.wrong_result(one)


def _r2_no_limit_is_exceeded(evidence: Evidence, books: Books) -> Iterator[Fact]:
    for scope, ids in evidence.gate.slots.items():
        yield "", _excess(evidence, books, scope, ids)
    yield "", _excess(evidence, books, ("global", ""), frozenset(evidence.gate.leases))
    for resource, count in evidence.gate.calls.items():
        most = evidence.special.get(("calls", resource), count)
        yield "", f"{count} calls of {resource} at once, not {most}" if count > most else None
    for row in evidence.instances:
        deep = row["depth"] > evidence.limits.max_depth
        yield row["id"], f"is at depth {row['depth']}" if deep else None
        spawns = (row.get("budget") or {}).get("spawns")
        if spawns is not None:
            made = books.spawned_below(row["id"])
            yield row["id"], f"made {made} spawns of {spawns}" if made > spawns else None


def _excess(
    evidence: Evidence, books: Books, scope: tuple[str, str], ids: frozenset[str]
) -> str | None:
    limit = books.limit(evidence, scope)
    if limit is None or len(ids) <= limit:
        return None
    # What runs already is adopted whether there is room or not.
    adopted = sum(books.was_adopted(evidence.gate.places.get(one), one) for one in ids)
    if len(ids) - limit <= adopted:
        return None
    return f"{len(ids)} slots in {scope}, {adopted} of them adopted: the limit is {limit}"


def _r3_slots_are_leases(evidence: Evidence, books: Books) -> Iterator[Fact]:
    gate = evidence.gate
    for one in gate.leases:
        place = gate.places.get(one)
        if place is None:
            yield one, "has a lease, and the gate does not know it"
            continue
        missing = [scope for scope in place.scopes() if one not in gate.slots.get(scope, ())]
        yield one, f"has a lease and no slot in {missing}" if missing else None
    for scope, ids in gate.slots.items():
        for one in ids:
            yield one, None if one in gate.leases else f"has a slot in {scope} without a lease"
    for one, place in gate.places.items():
        yield one, _misplaced(evidence, one, place.place)
    for one in gate.backlog:
        yield one, None if one in gate.places else "counts in the backlog and is nowhere"
    if evidence.at_rest:
        yield "", f"is left in the gate: {gate.remains[:20]}" if gate.remains else None


def _misplaced(evidence: Evidence, one: str, place: str) -> str | None:
    gate = evidence.gate
    found = [name for name, ids in gate.standing.items() if one in ids]
    found += ["dispatched"] * (one in gate.leases)
    wanted = "dispatched" if place in ("admitted", "dispatched") else place
    return None if found == [wanted] else f"is {place!r} by its entry, and stands in {found}"


def _r4_only_the_newest_writes(evidence: Evidence, books: Books) -> Iterator[Fact]:
    yield from fences(evidence, books)


def _r5_no_live_descendant(evidence: Evidence, books: Books) -> Iterator[Fact]:
    for row in evidence.instances:
        parent = books.rows.get(row["parent_id"] or "")
        if parent is None or parent["ended_at"] is None or books.may_outlive(row, parent):
            continue
        if row["ended_at"] is None:
            yield row["id"], f"lives, its parent {parent['id']} is {parent['state']}"
        else:
            late = (row["ended_at"] - parent["ended_at"]).total_seconds() > OVERLAP
            yield row["id"], f"ended long after its parent {parent['id']}" if late else None


def _r6_nobody_waits_in_a_circle(evidence: Evidence, books: Books) -> Iterator[Fact]:
    stuck = starving(evidence.gate)
    for one in evidence.gate.waits:
        yield one, "is in a circle of waits" if one in stuck else None


def _r7_nothing_waits_for_ever(evidence: Evidence, books: Books) -> Iterator[Fact]:
    if not evidence.at_rest:
        return
    for row in evidence.instances:
        begun = row["started_at"] is not None or row["reason"] in UNBEGUN
        yield row["id"], None if begun else f"never began and is {row['state']} {row['reason']}"


def _r8_one_event_for_each_change(evidence: Evidence, books: Books) -> Iterator[Fact]:
    yield from trails(evidence, books)


def _r9_a_refusal_leaves_nothing(evidence: Evidence, books: Books) -> Iterator[Fact]:
    for one in evidence.refused:
        if one.code not in frozenset(Refusal):
            yield "", f"{one.key} was refused for {one.code!r}"
        elif row := books.keys.get((one.tenant, one.key)):
            yield row, f"was refused as {one.key} for {one.code}, and has a row"
        else:
            yield "", None


def _r10_a_closed_gate_gives_nothing(evidence: Evidence, books: Books) -> Iterator[Fact]:
    gate = evidence.gate
    if gate.is_open:
        yield "", None
        return
    yield "", "is not open again" if evidence.at_rest else None
    yield "", f"gave out {gate.messages} messages while it was closed" if gate.messages else None
    for one in gate.leases:
        given = not books.was_adopted(gate.places.get(one), one)
        yield one, "was given a slot while the gate was closed" if given else None


RULES: dict[str, Rule] = {
    "R1": _r1_nothing_is_lost,
    "R2": _r2_no_limit_is_exceeded,
    "R3": _r3_slots_are_leases,
    "R4": _r4_only_the_newest_writes,
    "R5": _r5_no_live_descendant,
    "R6": _r6_nobody_waits_in_a_circle,
    "R7": _r7_nothing_waits_for_ever,
    "R8": _r8_one_event_for_each_change,
    "R9": _r9_a_refusal_leaves_nothing,
    "R10": _r10_a_closed_gate_gives_nothing,
}


def told(violations: Sequence[Violation], most: int = 20) -> str:
    """The violations as lines, the first ones of them."""
    lines = [str(one) for one in violations[:most]]
    more = len(violations) - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more else lines)

"""The audit trail replayed (R8), and what attempts did held against it (R4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from orchestrator.domain.lifecycle import State, allowed
from tests.rules.evidence import Evidence, Row
from tests.rules.rows import Books

Fact = tuple[str, str | None]


def trails(evidence: Evidence, books: Books) -> Iterator[Fact]:
    """The trail of each instance can be replayed, and ends with what its row says."""
    numbers = [event["sequence"] for event in evidence.events]
    yield "", None if numbers == sorted(set(numbers)) else "the trail is not in order"
    for row in evidence.instances:
        yield row["id"], _wrong_trail(row, list(books.trails.get(row["id"], ())))
    for one in books.trails:
        yield one, None if one in books.rows else "has events and no row"


def _wrong_trail(row: Row, trail: list[Row]) -> str | None:
    before, attempt = None, 0
    for event in trail:
        number = event["sequence"]
        if event["from_state"] != before:
            return f"event {number} is from {event['from_state']}, it was {before}"
        if wrong := _wrong_step(before, attempt, event):
            return f"event {number}: {wrong}"
        before, attempt = event["to_state"], event["attempt"]
    found = (before, attempt, trail[-1]["reason"] if trail else None)
    wanted = (row["state"], row["attempt"], row["reason"])
    return None if found == wanted else f"is {wanted} by its row, {found} by its events"


def _wrong_step(before: str | None, attempt: int, event: Row) -> str | None:
    after, newer = event["to_state"], event["attempt"] - attempt
    if before is None:
        return None if (after, newer) == ("queued", 0) else f"begins as {after}"
    if after == before:
        # A stay is an event only where the attempt was taken away.
        return None if newer > 0 else f"stays {after} at the same attempt"
    if newer < 0 or (newer == 0 and after == "running"):
        return f"attempt {event['attempt']} follows {attempt}"
    fits = allowed(State(before), State(after))
    return None if fits else f"goes from {before} to {after}"


def fences(evidence: Evidence, books: Books) -> Iterator[Fact]:
    """Records are of attempts that began; what was done is recorded, once, or its attempt lost."""
    for row in evidence.steps:
        by = (row["instance_id"], row["attempt"])
        yield by[0], None if by in books.begun else f"step {row['name']} is of attempt {by[1]}"
    recorded = {(row["instance_id"], row["name"]): row["attempt"] for row in evidence.steps}
    done: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for effect in evidence.effects:
        done[effect.instance, effect.step].append(effect.attempt)
    for (one, step), attempts in done.items():
        if one in books.rows:
            yield one, _wrong_action(evidence, books, one, step, attempts, recorded)
    if evidence.at_rest:
        yield from _recorded_for_nothing(evidence, done)


def _wrong_action(
    evidence: Evidence,
    books: Books,
    one: str,
    step: str,
    attempts: list[int],
    recorded: dict[tuple[str, str], int],
) -> str | None:
    by = recorded.get((one, step))
    if len(set(attempts)) != len(attempts):
        return f"did {step} twice in one attempt of {attempts}"
    if strange := [number for number in attempts if (one, number) not in books.begun]:
        return f"did {step} in attempts {strange} that never began"
    row = books.rows[one]
    # By now the others may have been told of it, or not; and one that began anew has no journal.
    if by is None and (not evidence.at_rest or row["state"] != "completed" or row["history"]):
        by = max(attempts)
    if by is None:
        return f"did {step} in attempts {attempts} and has no record of it"
    again = [number for number in attempts if number != by and (one, number) not in books.cut_off]
    return (
        f"did {step} in attempts {attempts}, recorded by {by}, {again} went on" if again else None
    )


def _recorded_for_nothing(
    evidence: Evidence, done: dict[tuple[str, str], list[int]]
) -> Iterator[Fact]:
    """A record of an action has its line in the ledger."""
    ledgered = {step for _, step in done}
    for row in evidence.steps:
        if row["name"] in ledgered and row["kind"] == "step" and row["error"] is None:
            attempts = done.get((row["instance_id"], row["name"]), [])
            wrong = row["attempt"] not in attempts
            yield (
                row["instance_id"],
                f"recorded {row['name']} by {row['attempt']}, did it in {attempts}"
                if wrong
                else None,
            )

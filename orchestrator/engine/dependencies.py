"""dependencies: a spawn that starts once others have ended.

It is recorded like any other, and the gate holds it, with an edge to each that it starts after;
the script that ends the last one puts it in line. So it costs neither slot nor worker meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.ids import is_id, parse_id
from orchestrator.domain.instance import Instance, NewInstance, SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.waits import Dependencies
from orchestrator.engine.deps import Deps
from orchestrator.engine.fault_points import reached

#: How many ids a message names.
MOST_NAMED = 5


def resolve(request: SpawnRequest, batch: Mapping[int, str]) -> Dependencies | None:
    """What a request is to start after, by ids; raises `InvalidSpawn`.

    `batch` holds the ids of the requests before it in the same list, by `id()` of the request.
    """
    if request.on_failure not in ("fail", "run"):
        raise InvalidSpawn(
            "INVALID_ON_FAILURE",
            f'on_failure is {request.on_failure!r}; it must be "fail" or "run".',
        )
    ids = tuple(dict.fromkeys(_id_of(one, batch) for one in request.after))
    return Dependencies(ids, request.on_failure) if ids else None


def check(deps: Deps, news: Sequence[NewInstance]) -> None:
    """Whether all that is to be started after exists, and is of the same tenant."""
    batch = {new.id for new in news}
    asked = {one: new for new in news if new.depends_on for one in new.depends_on.ids}
    outside = [one for one in asked if one not in batch]
    found = deps.store.get_many(outside) if outside else {}
    for one in outside:
        if one not in found or found[one].tenant != asked[one].tenant:
            raise InvalidSpawn(
                "INVALID_AFTER",
                f"after names {one}, but tenant {asked[one].tenant!r} has no such instance.",
            )


def hold(deps: Deps, news: Sequence[NewInstance]) -> None:
    """Have the gate hold recorded spawns; those that need nobody any more go in line."""
    targets = {new.id: new.depends_on.ids for new in news if new.depends_on}
    deps.gate.hold_many([(new, targets[new.id], len(targets[new.id])) for new in news])
    reached("hold.edges")
    # Who ended before the gate knew that somebody waits for it has to be told of.
    distinct = sorted({one for ids in targets.values() for one in ids})
    standings = deps.store.standings(distinct)
    ended = [one for one, row in standings.items() if row.state.is_terminal]
    if ended:
        deps.gate.tell_ended(ended)


@dataclass(frozen=True)
class Standing:
    """What has become of all that an instance was to start after."""

    #: those that have not ended
    pending: tuple[str, ...]
    #: those that ended without a result
    failed: tuple[str, ...]


def look(deps: Deps, instance: Instance) -> Standing:
    """What has become of all that an instance starts after."""
    ids = instance.depends_on.ids if instance.depends_on else ()
    states = {one: row.state for one, row in deps.store.standings(ids).items()}
    return Standing(
        pending=tuple(one for one in ids if one in states and not states[one].is_terminal),
        failed=tuple(one for one in ids if states.get(one) in (State.FAILED, State.CANCELLED)),
    )


def message(instance: Instance, failed: Sequence[str]) -> str:
    """Why an instance fails with those that it was to start after."""
    many = len(instance.depends_on.ids) if instance.depends_on else 0
    named = ", ".join(failed[:MOST_NAMED]) + (", ..." if len(failed) > MOST_NAMED else "")
    return f"{len(failed)} of the {many} it was to start after ended without a result: {named}"


def _id_of(asked: object, batch: Mapping[int, str]) -> str:
    if isinstance(asked, SpawnRequest) and id(asked) in batch:
        return batch[id(asked)]
    named = getattr(asked, "id", asked)  # a handle has one
    if isinstance(named, str) and is_id(named):
        return parse_id(named)
    raise InvalidSpawn(
        "INVALID_AFTER",
        f"after holds {asked!r}; it takes handles or ids of instances and, in spawn_many, "
        "requests that come earlier in the same list.",
    )

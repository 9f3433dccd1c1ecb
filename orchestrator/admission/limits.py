"""The gate's scripts about limits: setting them, and counting what uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.admission.caller import ScriptCaller
from orchestrator.admission.keys import limit_field
from orchestrator.domain.scope import Scope

#: Tells a shard that nothing may start by a limit, whatever it has borrowed.
NOTHING = -1.0
#: What bounds tenants of all shards together.
DEALT = ("pool", "agent", "global", "global_queue")


@dataclass(frozen=True)
class Bounds:
    """Limits and weights, by the fields that scripts know them by."""

    fields: Mapping[str, str]

    def own(self, scope: Scope) -> float | None:
        """What is said of this very scope; None: nothing."""
        value = self.fields.get(limit_field(scope))
        return float(value) if value else None

    def of(self, scope: Scope) -> float | None:
        """What holds for a scope: its own, else the default of its kind; None: no bound."""
        own = self.own(scope)
        return self.own(Scope(scope.kind)) if own is None else own

    def weight_of(self, scope: Scope) -> float:
        """The share of a tenant or session."""
        own = self.own(Scope(f"weight:{scope.kind}", scope.name, scope.tenant))
        return 1.0 if own is None else own


@dataclass(frozen=True)
class Crowd:
    """Instances that belong to the same and are at the same kind of place."""

    pool: str
    agent: str
    tenant: str
    session: str
    #: the gate's word for where they are: `queued`, `delayed`, `dispatched`, ...
    place: str
    count: int


class LimitCalls(ScriptCaller):
    """One method a script."""

    def apply_limits(self, version: int, limits: Mapping[Scope, float], shard: int) -> int:
        """Let all that operators have set hold in a shard; answers the version that holds now.

        An older version than the one that holds changes nothing.
        """
        fields: list[str] = []
        for scope, value in limits.items():
            dealt = scope.kind in DEALT and self.size > 1
            mine = part(value, shard, self.size) if dealt else value
            if dealt and not value:
                mine = NOTHING  # not even what a shard has borrowed
            fields += [limit_field(scope), f"{mine:.17g}"]
        return int(self._run_on(shard, "apply_limits", version=version, fields=fields))

    def note_woken(self, version: int, shard: int) -> None:
        """Remember that all of a shard were woken who have room by the limits of this version."""
        self._run_on(shard, "note_woken", version=version)

    def limits_versions(self, shard: int) -> tuple[int, int]:
        """The version of the limits that holds in a shard, and the one that all were woken for."""
        version, woken = self._ask(shard, "hmget", "limits", "", ["version", "woken"])
        return int(version or -1), int(woken or -1)

    def bounds(self) -> Bounds:
        """The limits and weights that every spawn is held against."""
        return self._whole("config")

    def bounds_of_settings(self) -> Bounds:
        """What the settings of the process that started last say."""
        return self._whole("defaults")

    def _whole(self, name: str) -> Bounds:
        """The fields of all shards, those that are dealt out added up again."""
        first, *others = self._ask_everywhere("hgetall", name)
        fields: dict[str, str] = dict(first)
        for fields_of_other in others:
            for field, value in fields_of_other.items():
                if field.partition(":")[0] in DEALT:
                    fields[field] = f"{float(fields.get(field, 0)) + float(value):.17g}"
        return Bounds(fields)

    def survey(self) -> Iterator[Crowd]:
        """All live instances, counted by where they belong and where they are.

        The same crowd may come several times, to be added up. No picture of one moment: while
        it is taken, instances go on.
        """
        for shard in range(self.size):
            for name in ("leases", "backlog", "suspended", "expired", "paused"):
                yield from self._survey(shard, name)

    def _survey(self, shard: int, name: str) -> Iterator[Crowd]:
        cursor = ""
        while cursor != "0":
            values = {"set": name, "cursor": cursor or "0", "count": 500}
            cursor, *flat = self._run_on(shard, "survey", **values)
            for start in range(0, len(flat), 6):
                pool, agent, tenant, session, place, count = flat[start : start + 6]
                yield Crowd(pool, agent, tenant, session, place, int(count))


def part(whole: float, number: int, count: int) -> float:
    """What one of several shards is given of a limit; the parts together are the whole."""
    return whole // count + (number < whole % count)

"""The gate's scripts about credits: parts of limits that shards lend each other."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.admission.caller import ScriptCaller
from orchestrator.domain.credit import Load

#: kind of limit -> the set that holds what uses it
_SETS = {"global": "leases", "pool": "slots_pool"}


class CreditCalls(ScriptCaller):
    """One method a script."""

    def dealt_fields(self) -> list[str]:
        """The limits that shards can lend each other: of all, and of each pool that has its own."""
        found = self._ask(0, "hkeys", "config")
        named = [one for one in found if ":" in one and one.partition(":")[0] in _SETS]
        return ["global", *sorted(named)]

    def loads(self, field: str) -> list[Load]:
        """Each shard's part of a limit and what is made of it."""
        name, suffix = _set_of(field)
        counting = "zcard" if name == "leases" else "scard"
        return [
            Load(
                limit=int(self._ask(shard, "hget", "config", "", field) or 0),
                used=self._ask(shard, counting, name, suffix),
                has_waiting=self._ask(shard, "zcard", "backlog") > 0,
            )
            for shard in range(self.size)
        ]

    def cede(self, shard: int, version: int, field: str, amount: int) -> int:
        """Take up to so much of a limit from a shard, as far as it is free; answers how much."""
        name, suffix = _set_of(field)
        values = {"field": field, "set": name, "suffix": suffix, "amount": amount}
        return int(self._run_on(shard, "cede", version=version, **values))

    def set_credits(self, shard: int, version: int, by_limit: Mapping[str, int]) -> bool:
        """What a shard has borrowed and lent; False when it knows of a newer version."""
        fields = [part for pair in by_limit.items() for part in pair]
        return bool(self._run_on(shard, "set_credits", version=version, fields=fields))


def _set_of(field: str) -> tuple[str, str]:
    kind, _, suffix = field.partition(":")
    return _SETS[kind], suffix

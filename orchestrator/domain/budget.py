"""What a session, or an instance with everything below it, may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.errors import InvalidSpawn

#: What is taken from the budget above, given to sub-budgets, and alerted of.
QUANTITIES = ("tokens", "usd", "spawns")

#: Money is counted in whole billionths of a dollar, so that sums and refunds are exact.
NANO = 1_000_000_000

#: Percents of a quantity at which an event tells of it.
ALERTS = (50, 80, 100)

#: The largest amounts; anything above is surely a mistake, and the gate's arithmetic stays exact.
_MOST = {
    "tokens": 10**13,
    "usd": 10**6,
    "live": 10**9,
    "spawns": 10**9,
    "depth": 10**6,
}
_POLICIES = ("refuse", "fail", "warn")


@dataclass(frozen=True)
class Budget:
    """Bounds for a whole tree; what is None is not bounded by this budget.

    `tokens`, `usd` and `spawns` are taken from the nearest budget above when an instance with
    its own budget is spawned, and what is left of them returns when it ends. Raises
    `InvalidSpawn` for values that cannot be used.
    """

    #: tokens that calls may use, input and output together
    tokens: int | None = None
    #: dollars that calls may cost
    usd: float | None = None
    #: instances that may be live at once, queued and waiting ones too
    live: int | None = None
    #: spawns over the whole life
    spawns: int | None = None
    #: levels below the owner; for a session, below its roots
    depth: int | None = None
    #: an aware time, or seconds from the spawn, at which all that is live below is ended
    deadline: datetime | float | None = None
    #: what follows when tokens, money, spawns or time are used up: `refuse` new spawns and
    #: calls, `fail` the whole subtree, or only `warn`
    on_exhausted: str = "refuse"

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            _check_amount(name, getattr(self, name), 1 if name == "live" else 0, most)
        _check_deadline(self.deadline)
        if self.on_exhausted not in _POLICIES:
            raise _invalid(
                f'on_exhausted is {self.on_exhausted!r}; it must be "refuse", "fail" or "warn".'
            )
        if all(getattr(self, one.name) is None for one in fields(self)[:-1]):
            raise _invalid(
                "It bounds nothing. Give one or more of tokens, usd, live, spawns, depth, deadline."
            )

    def fixed(self, now: datetime) -> Budget:
        """The same budget with its deadline as a time, `now` being when its seconds begin."""
        if self.deadline is None or isinstance(self.deadline, datetime):
            return self
        return replace(self, deadline=now + timedelta(seconds=float(self.deadline)))

    def to_dict(self) -> dict[str, Any]:
        """The budget as JSON: only what is bounded, the deadline in ISO 8601."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        if isinstance(self.deadline, datetime):
            given["deadline"] = self.deadline.isoformat()
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Budget:
        """The budget that `to_dict` wrote, or somebody wrote by hand."""
        unknown = sorted({*value} - {one.name for one in fields(cls)})
        if unknown:
            raise _invalid(f"There is no {', '.join(unknown)} in a budget.")
        deadline = value.get("deadline")
        if isinstance(deadline, str):
            return cls(**{**value, "deadline": _parse_time(deadline)})
        return cls(**value)


@dataclass(frozen=True)
class BudgetUse:
    """One quantity of a budget. Money is in dollars."""

    quantity: str
    limit: float
    #: settled, also by what has ended below
    used: float = 0.0
    #: estimated by calls under way
    reserved: float = 0.0
    #: given to the budgets of live instances below
    granted: float = 0.0

    @property
    def left(self) -> float:
        """What may still be taken; below zero where more was used than there was."""
        return self.limit - self.used - self.reserved - self.granted

    def to_dict(self) -> dict[str, Any]:
        """The quantity as JSON."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return given | {"left": self.left}


@dataclass(frozen=True)
class BudgetState:
    """A budget as the gate has it now."""

    #: `session <name>` or `instance <id>`
    owner: str
    tenant: str
    session: str
    #: tokens, money and spawns, those that it bounds
    uses: tuple[BudgetUse, ...]
    #: live instances counted by it, and how many it lets
    live: int
    live_limit: int | None
    #: levels it lets below its owner
    depth: int | None
    deadline: datetime | None
    on_exhausted: str
    #: the quantity for which its subtree was failed
    exhausted: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return given | {
            "uses": [use.to_dict() for use in self.uses],
            "deadline": None if self.deadline is None else self.deadline.isoformat(),
        }


def in_units(quantity: str, amount: float) -> int:
    """An amount as the gate counts it: whole tokens, spawns, or billionths of a dollar."""
    return math.floor(amount * NANO + 0.5) if quantity == "usd" else math.floor(amount + 0.5)


def from_units(quantity: str, units: float) -> float:
    """An amount from what the gate counts."""
    return units / NANO if quantity == "usd" else units


def _check_amount(name: str, value: object, least: int, most: int) -> None:
    if value is None:
        return
    kinds = int | float if name == "usd" else int
    # Said this way round, NaN is refused too.
    fits = isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most
    if not fits:
        what = "a number" if name == "usd" else "a whole number"
        raise _invalid(f"{name} is {value!r}; it must be {what} from {least} to {most}.")


def _check_deadline(value: object) -> None:
    if value is None:
        return
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _invalid(
                f"The deadline {value.isoformat()} has no time zone; write "
                "datetime.now(UTC) + timedelta(hours=1), or a number of seconds."
            )
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 10 * 366 * 86_400:  # type: ignore[operator]  # a number
        raise _invalid(
            f"The deadline is {value!r}; it must be an aware datetime or seconds above 0 and up to "
            "ten years."
        )


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f"The deadline {text!r} is not a time in ISO 8601.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _invalid(message: str) -> InvalidSpawn:
    return InvalidSpawn("INVALID_BUDGET", f"This budget cannot be used. {message}")

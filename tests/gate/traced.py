"""A gate that remembers which scripts it ran, on a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.domain.limits import Limits
from tests.support.clock import EPOCH, PLAIN_MESSAGE, PROBE, Clock

GATE = "g"
#: A slot that no worker takes up runs out while workers still count as alive.
LEASE, DISPATCH = 10.0, 6.0

#: Where a script's answer says that there is more to hand out, if it does.
_MORE = {
    "cancel": None,
    "follow": 1,
    "forget": None,
    "heartbeat": 0,
    "hold": 1,
    "pump_now": None,
    "refresh_flows": 1,
    "release": None,
    "requeue": None,
    "resume": 2,
    "suspend": 1,
    "sweep": 0,
    "tell_ended": None,
    "unpause": None,
    "wake": None,
    "withdraw": None,
}


#: More script runs than any call of the gate needs.
_ENDLESS = 1_000


@dataclass(frozen=True)
class Call:
    """One run of a script."""

    name: str
    values: dict[str, Any]
    #: what it answered, without `more`
    reply: Any
    #: whether it said that there is more to hand out
    more: bool
    #: whether it looks at the clock, and so has a part in the journal
    is_timed: bool


class TracedGate(Gate):
    """A gate whose script runs can be taken and looked at."""

    def __init__(self, url: str, library: Library) -> None:
        super().__init__(url, library, name=GATE)
        self.clock = Clock(self.redis, GATE)
        self._calls: list[Call] = []

    def take_calls(self) -> list[Call]:
        """The script runs since the last look, in order."""
        calls, self._calls = self._calls, []
        return calls

    def _run_on(self, number: int, name: str, **values: object) -> Any:
        reply = super()._run_on(number, name, **values)
        self._note(name, values, reply)
        return reply

    def _run_many(self, name: str, calls: Sequence[Mapping[str, object]]) -> list[Any]:
        replies = super()._run_many(name, calls)
        for values, reply in zip(calls, replies, strict=True):
            self._note(name, values, reply)
        return replies

    def _note(self, name: str, values: Mapping[str, object], reply: Any) -> None:
        more, rest = _split(name, reply)
        assert len(self._calls) < _ENDLESS, "there is always more to hand out"
        is_timed = PROBE in self._scripts[name].source
        self._calls.append(Call(name, dict(values), rest, more, is_timed))

    def open(self, limits: Limits) -> None:
        """Empty the server and begin with a gate of these limits at the beginning of time."""
        self.redis.flushall()
        self.clock.set(EPOCH)
        self.begin_rebuild("token", 60.0)
        self.set_limits(limits)
        self.finish_rebuild("token")

    def set_limits(self, limits: Limits) -> None:
        """Configure, with the tests' times."""
        self.configure(limits, lease=LEASE, dispatch=DISPATCH, outbox=False)

    def change_limits(
        self, limits: Limits, fields: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        """The same for an open gate, with further fields of its configuration."""
        self.set_limits(limits)
        self.set_fields(fields)
        self.refresh_flows()

    def set_fields(self, fields: Mapping[str, object]) -> None:
        """Write these fields of the configuration."""
        self._run("configure", fields=[part for pair in fields.items() for part in pair])


def _split(name: str, reply: Any) -> tuple[bool, Any]:
    """`more`, and the rest of a reply."""
    if name not in _MORE:
        return False, reply
    position = _MORE[name]
    if position is None:
        return bool(reply), None
    return bool(reply[position]), [*reply[:position], *reply[position + 1 :]]


def probed_library(kind: Callable[[str, str], Library] = Library) -> Library:
    """The scripts with a plain message and the clock of the tests."""
    return kind(PLAIN_MESSAGE, PROBE)

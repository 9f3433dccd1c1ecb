"""Time that passes only when the simulator lets it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

#: Where every schedule begins: milliseconds, with as many digits as a real date has.
EPOCH = 1_800_000_000_000


class Clock:
    """The time of all parties, in milliseconds; the gate's server may be ahead of the others."""

    def __init__(self) -> None:
        self.now = EPOCH
        #: milliseconds by which the clock of the gate's server has jumped
        self.gate_ahead = 0

    @property
    def gate(self) -> int:
        """The time that scripts see."""
        return self.now + self.gate_ahead

    @property
    def seconds(self) -> float:
        """Seconds since the schedule began."""
        return (self.now - EPOCH) / 1000


class Times:
    """What stands where code says `time`."""

    def __init__(self, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self.sleep = sleep

    def monotonic(self) -> float:
        """Seconds; the zero is the start of the schedule."""
        return self._clock.seconds

    def clock_gettime(self, _which: int) -> float:
        """The same: no machine sleeps here."""
        return self._clock.seconds

    def time(self) -> float:
        """Seconds since 1970."""
        return self._clock.now / 1000

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._clock.now * 1_000_000


def datetimes(clock: Clock) -> type[datetime]:
    """What stands where code says `datetime` and asks for now."""

    class AnyDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class Datetime(datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one
            return datetime.fromtimestamp(clock.now / 1000, tz or UTC)

    return Datetime

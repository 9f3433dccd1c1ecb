"""When a failed attempt is followed by another."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.failure import Kinds, is_named, kinds_of, name_of


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    The delay before attempt `n + 1` is uniform in `[0, min(max_delay, first_delay * 2**(n-1))]`;
    M. Brooker, "Exponential Backoff And Jitter" (2015), shows why the whole range is drawn from.

    `retry_on` and `give_up_on` name exceptions: by class, or by name where the class cannot be
    imported, with its module (`"httpx.ReadTimeout"`) or without. As in `except`, a class stands
    for its subclasses too. An error that is in neither list is judged by what it was raised from
    (`raise ... from ...`); the outermost error that a list names decides, and `give_up_on` wins.
    """

    #: how often the agent is tried in all; 1 means no retry
    max_attempts: int = 3
    #: seconds, the upper bound of the first delay
    first_delay: float = 1.0
    #: seconds, the upper bound of any delay
    max_delay: float = 60.0
    #: exceptions that no retry can help
    give_up_on: tuple[str | type[BaseException], ...] = ()
    #: the only exceptions that are retried; empty: all
    retry_on: tuple[str | type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {self.max_attempts}; it must be at least 1.")
        # Said this way round, NaN is refused too.
        if not 0 <= self.first_delay <= self.max_delay < math.inf:
            raise ConfigurationError(
                f"Retry delays must satisfy 0 <= first_delay <= max_delay < infinity; they are "
                f"{self.first_delay} and {self.max_delay}."
            )
        for field in ("give_up_on", "retry_on"):
            object.__setattr__(self, field, _names(field, getattr(self, field)))

    @classmethod
    def never(cls) -> RetryPolicy:
        """One attempt, no retry."""
        return cls(max_attempts=1)

    def allows(self, failures: int, error: BaseException | str | Kinds = "") -> bool:
        """Whether another attempt follows after so many failed ones, the last with this error.

        `error` is the exception, its `kinds_of`, or its name, as far as it is known.
        """
        return failures < self.max_attempts and self._may_help(_kinds(error))

    def _may_help(self, kinds: Kinds) -> bool:
        for level in kinds:
            if is_named(level, self.give_up_on):
                return False
            if is_named(level, self.retry_on):
                return True
        return not self.retry_on

    def delay(self, failures: int, draw: random.Random | None = None) -> float:
        """Seconds to wait after so many failures (1 or more)."""
        bound = min(self.max_delay, self.first_delay * 2 ** min(failures - 1, 30))
        return (draw or random).uniform(0, bound)

    def to_dict(self) -> dict[str, Any]:
        """The policy as JSON, as it is recorded with an agent."""
        return {
            "max_attempts": self.max_attempts,
            "first_delay": self.first_delay,
            "max_delay": self.max_delay,
            "give_up_on": list(self.give_up_on),
            "retry_on": list(self.retry_on),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> RetryPolicy:
        """The policy that `to_dict` wrote."""
        lists = {name: tuple(value.get(name, ())) for name in ("give_up_on", "retry_on")}
        return cls(**{**value, **lists})


@dataclass(frozen=True)
class RetryBudget:
    """How often a session may try again, so that a broken dependency cannot multiply load.

    Retries are counted against what the session has begun, as Finagle's `RetryBudget` does (20 %
    of the requests, and some a second in any case) and, counting successes, the retry throttling
    of gRPC (proposal A6). What is free comes back each minute; the share is of the whole session.
    """

    #: retries for each instance that the session has begun
    ratio: float = 0.2
    #: retries a minute that need no such share
    floor: int = 10


def _names(field: str, given: Iterable[object]) -> tuple[str, ...]:
    if isinstance(given, str | type):
        given = (given,)
    names = []
    for one in given:
        if isinstance(one, type) and issubclass(one, BaseException):
            names.append(name_of(one))
        elif isinstance(one, str) and one:
            names.append(one)
        else:
            raise ConfigurationError(
                f"{field} has {one!r}; it takes exception classes or their names, as in "
                f'{field}=(ConnectionError, "httpx.ReadTimeout").'
            )
    return tuple(names)


def _kinds(error: BaseException | str | Kinds) -> Kinds:
    if isinstance(error, BaseException):
        return kinds_of(error)
    return ((error,),) if isinstance(error, str) else error

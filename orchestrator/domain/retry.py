"""When a failed attempt is followed by another."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import ConfigurationError


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    The delay before attempt `n + 1` is uniform in `[0, min(max_delay, first_delay * 2**(n-1))]`;
    M. Brooker, "Exponential Backoff And Jitter" (2015), shows why the whole range is drawn from.
    """

    #: how often the agent is tried in all; 1 means no retry
    max_attempts: int = 3
    #: seconds, the upper bound of the first delay
    first_delay: float = 1.0
    #: seconds, the upper bound of any delay
    max_delay: float = 60.0
    #: names of exception classes that no retry can help
    give_up_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {self.max_attempts}; it must be at least 1.")
        # Said this way round, NaN is refused too.
        if not 0 <= self.first_delay <= self.max_delay < math.inf:
            raise ConfigurationError(
                f"Retry delays must satisfy 0 <= first_delay <= max_delay < infinity; they are "
                f"{self.first_delay} and {self.max_delay}."
            )

    @classmethod
    def never(cls) -> RetryPolicy:
        """One attempt, no retry."""
        return cls(max_attempts=1)

    def allows(self, failures: int, error_type: str = "") -> bool:
        """Whether another attempt follows after so many failed ones."""
        return failures < self.max_attempts and error_type not in self.give_up_on

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
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> RetryPolicy:
        """The policy that `to_dict` wrote."""
        return cls(**{**value, "give_up_on": tuple(value["give_up_on"])})

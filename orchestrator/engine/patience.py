"""Going on while a server is away."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator.domain.errors import Unavailable
from orchestrator.telemetry.logging import get_logger

T = TypeVar("T")
log = get_logger("orchestrator.patience")

#: Seconds for which those that run in a worker try again what a server does not answer. Long: to
#: give up costs the attempt, and what it waits with it holds up nobody who could go on.
PATIENCE = 3_600.0
#: Seconds, the longest pause between two tries.
LONGEST_PAUSE = 2.0


def insist(
    action: Callable[[], T],
    patience: float = PATIENCE,
    *,
    pause: Callable[[float], object] = time.sleep,
    is_over: Callable[[], bool] = lambda: False,
    on_failure: Callable[[], None] = lambda: None,
) -> T:
    """The action's answer, repeating it while a server does not answer.

    For actions that are fenced or may happen twice. After `patience` seconds, and as soon as it
    `is_over`, the error is the caller's. `on_failure` is called before each pause.

    The pauses are random (full jitter: Brooker, "Exponential Backoff and Jitter", AWS 2015), so
    that all who wait for the same server do not come back to it at the same moment.
    """
    give_up_at = time.monotonic() + patience
    longest = 0.1
    while True:
        try:
            return action()
        except Unavailable as error:
            if time.monotonic() > give_up_at or is_over():
                raise
            log.warning("server.unavailable", error=error.code, retry_within=longest)
        on_failure()
        pause(random.uniform(0, longest))
        longest = min(longest * 2, LONGEST_PAUSE)

"""Going on while a server is away for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator.domain.errors import Unavailable
from orchestrator.telemetry.logging import get_logger

T = TypeVar("T")
log = get_logger("orchestrator.patience")

#: Seconds for which something is tried again with a server that does not answer.
PATIENCE = 60.0
#: Seconds, the longest pause between two tries.
LONGEST_PAUSE = 2.0


def insist(action: Callable[[], T], patience: float = PATIENCE) -> T:
    """The action's answer, repeating it while a server does not answer.

    For actions that are fenced or may happen twice. After `patience` seconds the error is the
    caller's.
    """
    give_up_at = time.monotonic() + patience
    pause = 0.05
    while True:
        try:
            return action()
        except Unavailable as error:
            if time.monotonic() > give_up_at:
                raise
            log.warning("server.unavailable", error=error.code, retry_in=pause)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)

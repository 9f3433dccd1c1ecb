"""Agents of a worker whose consumer turns deaf: its poller is asked for nothing any more.

That is how a consumer is after a reconnect that went wrong: all looks well, and nothing comes. It
happens when the file `DEAF_FILE` is there, to the connection that is polled then; or, where
`DEAF_FOR_EVER` is set, to all from then on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kombu.transport import redis

from tests.support import agents  # noqa: F401  # registers them

FILE, FOR_EVER = "DEAF_FILE", "DEAF_FOR_EVER"

_poll: Any = redis.Channel._brpop_start


def _poll_unless_deaf(self: Any, *args: Any, **options: Any) -> Any:
    file = Path(os.environ[FILE])
    if file.exists():
        self.is_deaf = True
        if FOR_EVER not in os.environ:
            file.unlink()
    return None if getattr(self, "is_deaf", False) else _poll(self, *args, **options)


redis.Channel._brpop_start = _poll_unless_deaf  # type: ignore[method-assign]  # that is the point

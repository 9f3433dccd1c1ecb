"""The gate's clock: the server's, but for jumps of that (see `lua/lib/now.lua`). And what
housekeeping has to remember."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.admission.caller import ScriptCaller


class TimeCalls(ScriptCaller):
    """Keeping the gate's clock right, and the place of a long walk."""

    def keep_time(self, reference: datetime) -> float:
        """Compare the clocks of the servers, given PostgreSQL's; see `lua/keep_time.lua`.

        Answers the seconds for which the gate's clock was held and that it has caught up with.
        """
        moment = round(reference.timestamp() * 1000)
        caught_up = [
            self._run_on(number, "keep_time", reference_ms=moment) for number in range(self.size)
        ]
        return max(int(one) for one in caught_up) / 1000

    def let_expire(self, names: Sequence[str], seconds: float) -> None:
        """Keep what Celery has under these names for so long, if this is its server."""
        for name in names:
            self._call(self.redis.pexpire, name, round(seconds * 1000))

    def walk_from(self) -> str | None:
        """The id after which a walk over all live instances goes on; None: from the first."""
        found: str | None = self._ask(0, "get", "walk")
        return found

    def go_on_from(self, after: str | None) -> None:
        """Where the walk goes on next; None: it is at its end."""
        if after is None:
            self._ask(0, "delete", "walk")
        else:
            self._ask(0, "set", "walk", "", after)

    def now(self) -> int:
        """Milliseconds of the server's clock."""
        seconds, micros = self._call(self.redis.time)
        return int(seconds) * 1000 + int(micros) // 1000

    def _now_of(self, shard: int) -> int:
        """Milliseconds of the clock of a shard."""
        _, _, ahead = (self._ask(shard, "get", "time") or "").partition(" ")
        return self.now() - int(ahead or 0)

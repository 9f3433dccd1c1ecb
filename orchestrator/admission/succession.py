"""Noticing that another server, or the same one started anew, has taken the gate over."""

from __future__ import annotations

from orchestrator.admission.caller import ScriptCaller


class SuccessionCalls(ScriptCaller):
    """Which servers hold the gate."""

    _servers: tuple[str, ...] | None = None

    def has_new_server(self) -> bool:
        """Whether any shard is served by another server process than when this was last asked.

        What that one holds may be older than what was decided: a replica is some moments behind
        its primary, and a file synced once a second is up to a second behind its server.
        """
        found = tuple(
            str(self._call(shard.ask, "info", "server")["run_id"]) for shard in self.shards
        )
        before, self._servers = self._servers, found
        return before is not None and before != found

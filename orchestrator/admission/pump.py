"""Handing out what may run, over several calls where one does not suffice."""

from __future__ import annotations

from orchestrator.admission.caller import ScriptCaller


class Pump(ScriptCaller):
    """Scripts do a bounded part of the work that follows from them, and say if there is more."""

    def pump(self) -> None:
        """Hand out until there is no room or nobody waits."""
        for number in range(self.size):
            while self._run_on(number, "pump_now", budget=64):
                pass

    def _pump_if(self, more: object) -> None:
        if more:
            self.pump()

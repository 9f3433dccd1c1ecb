"""All runtimes of a worker process, behind one."""

from __future__ import annotations

from orchestrator.agents.programs import Program
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome, Runtime
from orchestrator.engine.running import Run
from workers.runtimes.isolated import IsolatedRuntime
from workers.runtimes.process import ProcessRuntime
from workers.runtimes.python import PythonRuntime
from workers.runtimes.warden import Warden


class EveryRuntime:
    """Runs each agent by the runtime it was registered for. See `Runtime`."""

    def __init__(self, deps: Deps, registry: Registry, max_payload_bytes: int) -> None:
        self._registry = registry
        self._python: Runtime = PythonRuntime(deps, registry, max_payload_bytes)
        warden = Warden()
        self._process: Runtime = ProcessRuntime(deps, registry, max_payload_bytes, warden)
        self._isolated: Runtime = IsolatedRuntime(deps, registry, max_payload_bytes, warden)

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""
        return self._for(self._registry.get(run.instance.agent)).run(host, run)

    def _for(self, registered: RegisteredAgent | None) -> Runtime:
        if registered is not None and isinstance(registered.function, Program):
            return self._process
        if registered is not None and registered.isolation is not None:
            return self._isolated
        return self._python

"""All runtimes of a worker process, behind one."""

from __future__ import annotations

from orchestrator.agents.programs import Program
from orchestrator.agents.registry import Registry
from orchestrator.engine.deps import Deps
from orchestrator.engine.execute import Host, Outcome, Runtime
from orchestrator.engine.running import Run
from workers.runtimes.process import ProcessRuntime
from workers.runtimes.python import PythonRuntime


class EveryRuntime:
    """Runs each agent by the runtime it was registered for. See `Runtime`."""

    def __init__(self, deps: Deps, registry: Registry, max_payload_bytes: int) -> None:
        self._registry = registry
        self._python: Runtime = PythonRuntime(deps, registry, max_payload_bytes)
        self._process: Runtime = ProcessRuntime(deps, registry, max_payload_bytes)

    def run(self, host: Host, run: Run) -> Outcome:
        """Run the attempt to its end on the calling thread. Never raises."""
        registered = self._registry.get(run.instance.agent)
        is_program = registered is not None and isinstance(registered.function, Program)
        return (self._process if is_program else self._python).run(host, run)

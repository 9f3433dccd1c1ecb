"""limits: what operators set while everything runs.

PostgreSQL has what was set; the gate holds it and every script reads it there, so a change is in
force everywhere with the script that makes it. The settings of a process are only the defaults:
a worker that starts with others does not undo what an operator has set. One step may be lost on
the way to the gate, so the beat compares the versions every few seconds.

Lowered below what is in use, a limit stops nothing that runs: nobody new starts until enough
have ended. Raised, it wakes those who wait for it.
"""

from __future__ import annotations

from orchestrator.domain.errors import GateUnavailable
from orchestrator.domain.limits import LimitChange
from orchestrator.domain.report import Report
from orchestrator.domain.scope import Scope, check_value, parse_scope
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.limits")


def set_limit(deps: Deps, scope: str, value: float | str, set_by: str = "") -> LimitChange:
    """Set a limit or a weight for all processes; raises `InvalidRequest`."""
    parsed = parse_scope(scope)
    return _change(deps, parsed, check_value(parsed, value), set_by)


def unset_limit(deps: Deps, scope: str, set_by: str = "") -> LimitChange:
    """Take back what was set, so that the settings hold again."""
    return _change(deps, parse_scope(scope), None, set_by)


def follow(deps: Deps) -> bool:
    """Let the gate hold what PostgreSQL has; whether there was anything to do."""
    held = [deps.gate.limits_versions(shard) for shard in range(deps.gate.size)]
    version = deps.store.limits.version()
    if all(one == (version, version) for one in held):
        return False
    _apply(deps)
    return True


def run_once(deps: Deps) -> Report:
    """`follow`, as a job of the beat."""
    return Report("limits", adopted=int(follow(deps)))


def fill(deps: Deps, shard: int) -> None:
    """Tell a shard that is being rebuilt; nobody is parked in it yet."""
    recorded = deps.store.limits.newest()
    version = deps.gate.apply_limits(recorded.version, recorded.in_force(), shard)
    deps.gate.note_woken(version, shard)


def _change(deps: Deps, scope: Scope, value: float | None, set_by: str) -> LimitChange:
    before = deps.store.limits.newest().value_of(scope)
    if value is None and before is None:
        version = deps.store.limits.version()
    else:
        version = deps.store.limits.record(scope, value, set_by)
        log.info("limit.set", scope=str(scope), value=value, before=before, set_by=set_by)
    return LimitChange(str(scope), value, before, version, in_force=put_in_force(deps, scope))


def put_in_force(deps: Deps, scope: Scope) -> bool:
    """Let the gate hold what is recorded; False where Redis is away and follows later."""
    try:
        _apply(deps)
    except GateUnavailable as error:
        log.warning("limit.not_in_force", scope=str(scope), error=error.code)
        return False
    return True


def _apply(deps: Deps) -> None:
    recorded, shards = deps.store.limits.newest(), range(deps.gate.size)
    versions = [
        deps.gate.apply_limits(recorded.version, recorded.in_force(), shard) for shard in shards
    ]
    deps.gate.refresh_flows()
    # Not before all have been woken: if this process dies meanwhile, the beat does it again.
    for shard, version in zip(shards, versions, strict=True):
        deps.gate.note_woken(version, shard)

"""pause: nothing new starts, in a session, of an agent, in a pool, ...; or one instance stays put.

A scope is paused as a limit of 0 that stands beside the limit that is set for it, so that resuming
brings that back. Those that run go on unless they are asked to yield.

An instance that is paused is out of line until it is resumed: one in line leaves it, one that runs
yields at its next call of its context, one that waits stays aside when its wait is over. PostgreSQL
has it, and begins no attempt of it; a gate that has not heard is told by the worker that it hands
the instance to.
"""

from __future__ import annotations

from contextlib import suppress

from orchestrator.domain.errors import GateUnavailable, InstanceNotFound, InvalidRequest
from orchestrator.domain.ids import parse_id
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.pause import PauseReport
from orchestrator.domain.scope import Scope, parse_scope
from orchestrator.engine import limits
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.pause")

#: What can be paused beside single instances.
KINDS = ("session", "agent", "pool", "tenant", "global")


def pause(deps: Deps, scope: str, *, now: bool = False, set_by: str = "") -> PauseReport:
    """Let nothing new start in a scope; `now`: those that run go back in line at their next call.

    Raises `InvalidRequest`, `InstanceNotFound`.
    """
    parsed = _parse(deps, scope)
    if isinstance(parsed, str):
        return _pause_instance(deps, parsed, set_by)
    changed = deps.store.limits.pause(parsed, True, set_by)
    in_force = limits.put_in_force(deps, parsed)
    # Not before nobody can start again.
    yielding = deps.store.control.ask_to_yield(parsed) if now else ()
    if yielding:
        _hurry(deps)
    log.info("scope.paused", scope=str(parsed), set_by=set_by, yielding=len(yielding))
    return PauseReport(str(parsed), True, changed, tuple(yielding), in_force)


def resume(deps: Deps, scope: str, *, set_by: str = "") -> PauseReport:
    """Take a pause back; nothing happens where there is none."""
    parsed = _parse(deps, scope)
    if isinstance(parsed, str):
        return _resume_instance(deps, parsed, set_by)
    changed = deps.store.limits.pause(parsed, False, set_by)
    in_force = limits.put_in_force(deps, parsed)
    log.info("scope.resumed", scope=str(parsed), set_by=set_by)
    return PauseReport(str(parsed), False, changed, in_force=in_force)


def _pause_instance(deps: Deps, instance_id: str, set_by: str) -> PauseReport:
    row = _live(deps, instance_id)
    changed = deps.store.control.pause(instance_id, set_by)
    in_force = False
    with suppress(GateUnavailable):  # A worker that is handed the instance tells the gate.
        deps.gate.pause([instance_id])
        in_force = True
    log.info("instance.paused", instance=instance_id, set_by=set_by)
    yielding = (instance_id,) if row.state is State.RUNNING else ()
    if yielding:
        _hurry(deps)
    return PauseReport(f"instance:{instance_id}", True, changed, yielding, in_force)


def _resume_instance(deps: Deps, instance_id: str, set_by: str) -> PauseReport:
    _live(deps, instance_id)
    changed = deps.store.control.resume(instance_id, set_by)
    in_force = False
    with suppress(GateUnavailable):  # The reconciler compares.
        put_back(deps, [instance_id])
        in_force = True
    log.info("instance.resumed", instance=instance_id, set_by=set_by)
    return PauseReport(f"instance:{instance_id}", False, changed, in_force=in_force)


def put_back(deps: Deps, ids: list[str]) -> None:
    """Let the gate have these in line again."""
    if ids:
        deps.gate.unpause(ids)


def _hurry(deps: Deps) -> None:
    with suppress(GateUnavailable):  # The next heartbeats find it too.
        deps.gate.hurry()


def _live(deps: Deps, instance_id: str) -> Instance:
    row = deps.store.get(instance_id)
    if row is None:
        raise InstanceNotFound(instance_id)
    if row.state.is_terminal:
        raise InvalidRequest(
            "HAS_ENDED", f"Instance {instance_id} has ended ({row.state}); nothing of it can run."
        )
    return row


def _parse(deps: Deps, text: str) -> Scope | str:
    """The scope, or the id of the instance, that is written so."""
    kind, _, name = text.partition(":")
    if kind == "instance":
        return parse_id(name)
    if kind == "session" and name.isprintable():
        tenant = deps.store.control.tenant_of(name)
        if tenant is not None:
            return Scope("session", name, tenant)
    if kind not in KINDS or not (name or kind == "global"):
        raise InvalidRequest(
            "INVALID_SCOPE",
            f"{text!r} is nothing that can be paused. Examples: instance:ID, session:s1, "
            "agent:researcher, pool:gpu, tenant:acme, global.",
        )
    return parse_scope(text)

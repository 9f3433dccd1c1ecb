"""resources: what may be used of them, known to PostgreSQL first and then to the gate.

Declared by workers and services when they start; a later declaration replaces an earlier one,
for every process at once. The gate is told again when it was emptied.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.domain.call import Breaker
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.names import is_identifier
from orchestrator.domain.resource import Resource
from orchestrator.engine.deps import Deps

MODES = ("open", "closed", "auto")


def declare(deps: Deps, resources: Iterable[Resource]) -> None:
    """Set how much of each resource may be used."""
    found = list(resources)
    for one in found:
        one.part(deps.gate.size)  # a limit that cannot be dealt out is refused before all else
    if found:
        deps.store.resources.save(found)
        deps.gate.declare(found)


def declare_needs(deps: Deps, specs: Iterable[AgentSpec]) -> None:
    """Say which resources these agents call: they wait while one of them cannot be called."""
    for spec in specs:
        deps.gate.declare_needs(spec.name, spec.resources)


def fill(deps: Deps, shard: int, token: str) -> None:
    """Tell a shard that is being rebuilt what was declared and decided."""
    if deps.store.resources.has_history():
        deps.gate.note_loss(token, shard)
    recorded = deps.store.resources.all()
    deps.gate.declare([one.resource for one in recorded])
    declare_needs(deps, (spec for spec in deps.store.agents().values() if spec.resources))
    for one in recorded:
        for tenant, mode in one.forced.items():
            deps.gate.force_breaker(one.resource.name, tenant, mode)


def force(deps: Deps, name: str, tenant: str | None, mode: str) -> None:
    """Hold a breaker `open` or `closed`, or leave it to itself again (`auto`)."""
    if mode not in MODES:
        raise InvalidRequest("INVALID_MODE", f"{mode!r} is none of: {', '.join(MODES)}.")
    if not is_identifier(name):
        raise InvalidRequest("INVALID_RESOURCE", f"{name!r} cannot name a resource.")
    deps.store.resources.force(name, tenant, mode)
    deps.gate.force_breaker(name, tenant, mode)
    # Whoever waited for it in line is looked at again.
    deps.gate.pump()


def breakers(deps: Deps) -> list[Breaker]:
    """All breakers: those that were called, and those of declared resources, by name."""
    called = deps.gate.breakers()
    known = {one.resource for one in called}
    idle = [
        Breaker(one.resource.name, None, "closed", None, 0, 0, None, 0, 0, {})
        for one in deps.store.resources.all()
        if one.resource.name not in known
    ]
    return sorted([*called, *idle], key=lambda one: (one.resource, one.tenant or ""))

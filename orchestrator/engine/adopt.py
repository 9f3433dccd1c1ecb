"""adopt: tell the gate of live instances, and of what has ended that they wait for."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.engine.deps import Deps


def adopt(deps: Deps, instances: Sequence[Instance]) -> None:
    """Have the gate know these rows.

    It is told of all that they wait for, and only then of what of that has ended: so no end is
    missed, whenever it comes.
    """
    deps.gate.adopt(instances)
    targets = {one for instance in instances for one in _targets(instance)}
    if targets:
        standings = deps.store.standings(sorted(targets))
        deps.gate.tell_ended([one for one, row in standings.items() if row.state.is_terminal])
    wake_ready(deps, instances)


def wake_ready(deps: Deps, instances: Sequence[Instance]) -> None:
    """Wake those whose wait is over, in case that the gate does not know."""
    waiting = [one.id for one in instances if one.state is State.WAITING or one.depends_on]
    ready = deps.store.journal.ready(waiting) if waiting else []
    if ready:
        deps.gate.wake(ready)


def _targets(instance: Instance) -> Sequence[str]:
    wait, first = instance.wait, instance.depends_on
    return [*(wait.targets if wait else ()), *(first.ids if first and not instance.attempt else ())]

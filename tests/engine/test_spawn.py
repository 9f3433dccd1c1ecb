"""A spawn is checked, recorded and started, or refused leaving nothing behind."""

from __future__ import annotations

import pytest

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import SpawnRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn


def test_an_accepted_spawn_is_a_row(deps: Deps) -> None:
    instance_id = spawn(deps, SpawnRequest("add", {"a": 1}))
    found = deps.store.get(instance_id)
    assert found is not None
    assert found.args == {"a": 1}


def test_an_unknown_agent_is_refused(deps: Deps) -> None:
    with pytest.raises(InvalidSpawn, match="Did you mean add"):
        spawn(deps, SpawnRequest("ad", {"a": 1}))

"""The agents of a harness: those of this process, and what stands in for some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.agents.programs import Program
from orchestrator.agents.registry import REGISTRY, RegisteredAgent
from orchestrator.domain.errors import ConfigurationError, InvalidSpawn
from orchestrator.domain.instance import AgentSpec
from orchestrator.engine.catalogue import Catalogue


class Agents(Mapping[str, AgentSpec]):
    """Specs by name."""

    def __init__(self) -> None:
        self._own: dict[str, RegisteredAgent] = {}

    def __getitem__(self, name: str) -> AgentSpec:
        return self._own[name].spec if name in self._own else REGISTRY.specs()[name]

    def __iter__(self) -> Iterator[str]:
        yield from {**REGISTRY.specs(), **self._own}

    def __len__(self) -> int:
        return len({**REGISTRY.specs(), **self._own})

    def stand_in(self, name: str, function: Callable[..., Any], spec: Mapping[str, Any]) -> None:
        """Run this function wherever the agent `name` would be run.

        It keeps the options of that agent, if it is known, but for those in `spec`.
        """
        known = self.get(name, AgentSpec(name, takes_any=True))
        self._own[name] = RegisteredAgent(replace(known, **spec), function)

    def name_of(self, agent: str | Callable[..., Any]) -> str:
        """The name of an agent that is given by name or as its function."""
        if isinstance(agent, str):
            return agent
        for name in self:
            if self._registered(name).function is agent:
                return name
        own = agent.__name__.strip("<>")  # of a lambda
        name = own if own not in self else f"{own}-{len(self)}"
        self.stand_in(name, agent, {})
        return name

    def to_run(self, name: str) -> RegisteredAgent:
        """The code of an agent. Raises `ConfigurationError` where it is no Python."""
        registered = self._registered(name)
        if isinstance(registered.function, Program):
            raise ConfigurationError(
                f"The agent {name!r} is a program, which a harness does not start. Give it a "
                f"stand-in: harness.stand_in({name!r}, lambda ctx, **args: ...)."
            )
        return registered

    def _registered(self, name: str) -> RegisteredAgent:
        found = self._own.get(name) or REGISTRY.get(name)
        assert found is not None
        return found


class Known(Catalogue):
    """Finds specs for spawns; its refusal says what a test can do about it."""

    def __init__(self, agents: Agents) -> None:
        super().__init__(agents, dict)

    def find(self, name: str) -> AgentSpec:
        """See `Catalogue.find`."""
        try:
            return super().find(name)
        except InvalidSpawn as error:
            hint = f"In a test, import its module or use harness.stand_in({name!r}, ...)."
            raise InvalidSpawn(error.code, f"{error.message} {hint}") from None

"""`@agent`: a function becomes an agent of this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import LONGEST_TIMEOUT, AgentSpec
from orchestrator.domain.names import is_identifier
from orchestrator.domain.resource import Resource, by_name
from orchestrator.domain.retry import RetryPolicy

Function = TypeVar("Function", bound=Callable[..., Any])


#: Bytes; with less, Python and this package do not start.
LEAST_MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True)
class Isolation:
    """How the process of an isolated agent is bounded."""

    #: bytes of address space; None: no bound of its own
    memory_limit: int | None = None
    #: seconds between being told to stop and being killed
    grace: float = 5.0


@dataclass(frozen=True)
class RegisteredAgent:
    """An agent whose code is loaded here."""

    spec: AgentSpec
    function: Callable[..., Any]
    #: it runs in a process of its own
    isolation: Isolation | None = None

    @property
    def is_async(self) -> bool:
        """Whether the function is an `async def`."""
        return inspect.iscoroutinefunction(self.function)


class Registry:
    """The agents of a process, by name."""

    def __init__(self) -> None:
        self._agents: dict[str, RegisteredAgent] = {}
        self._resources: dict[str, Resource] = {}

    def get(self, name: str) -> RegisteredAgent | None:
        """The agent of this name."""
        return self._agents.get(name)

    def declare(self, resources: Iterable[Resource]) -> None:
        """Remember how much of these resources may be used."""
        self._resources |= by_name(resources)

    @property
    def resources(self) -> Mapping[str, Resource]:
        """The resources that agents of this process declare, by name."""
        return self._resources

    def specs(self) -> Mapping[str, AgentSpec]:
        """A live view of the specs by name."""
        return _Specs(self._agents)

    def add(self, registered: RegisteredAgent) -> None:
        """Register, refusing a second function under the same name."""
        name = registered.spec.name
        known = self._agents.get(name)
        if known is not None and _origin(known.function) != _origin(registered.function):
            raise ConfigurationError(
                f"Two functions are registered as the agent {name!r}: {_origin(known.function)} "
                f"and {_origin(registered.function)}. Give each its own name."
            )
        self._agents[name] = registered


class _Specs(Mapping[str, AgentSpec]):
    def __init__(self, agents: dict[str, RegisteredAgent]) -> None:
        self._agents = agents

    def __getitem__(self, name: str) -> AgentSpec:
        return self._agents[name].spec

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)


#: The agents that `@agent` has registered in this process.
REGISTRY = Registry()


def agent(
    name: str,
    *,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
    pool: str = "default",
    resources: tuple[str | Resource, ...] = (),
    isolate: bool = False,
    memory_limit: int | None = None,
    progress_timeout: float | None = None,
) -> Callable[[Function], Function]:
    """Register a function as the agent `name`; the function itself stays as it is.

    The function takes a `Context` (an `AsyncContext` if it is an `async def`) and then its
    arguments, which are JSON values; so is what it returns. `timeout` is the seconds an attempt
    may take, `pool` the workers that run it, `retry` what follows a failed attempt, `resources`
    what it calls: instances wait in line while one of them is stopped by its breaker. With
    `isolate` each attempt has a process of its own, which can be killed and may map no more than
    `memory_limit` bytes; the module it is in has to be importable there. An attempt that shows no
    sign of progress (any operation of its context) for `progress_timeout` seconds has failed.
    """
    checked("@agent", name, pool, timeout, progress_timeout)
    isolation = Isolation(memory_limit) if isolate else None
    _check_isolation(name, isolation, memory_limit)

    def register(function: Function) -> Function:
        parameters, required, takes_any = _parameters(name, function)
        if isolation is not None and inspect.iscoroutinefunction(function):
            raise ConfigurationError(
                f"@agent({name!r}, isolate=True): an `async def` shares its process by design; "
                "isolate a `def`."
            )
        spec = AgentSpec(
            name=name,
            pool=pool,
            timeout=timeout,
            retry=retry or RetryPolicy(),
            resources=tuple(map(name_of, resources)),
            parameters=parameters,
            required=required,
            takes_any=takes_any,
            progress_timeout=progress_timeout,
        )
        REGISTRY.add(RegisteredAgent(spec, function, isolation))
        REGISTRY.declare(one for one in resources if isinstance(one, Resource))
        return function

    return register


def _check_isolation(name: str, isolation: Isolation | None, memory_limit: int | None) -> None:
    if memory_limit is not None and (isolation is None or memory_limit < LEAST_MEMORY):
        raise ConfigurationError(
            f"@agent({name!r}, memory_limit={memory_limit!r}): only an agent with isolate=True can "
            f"have one, of at least {LEAST_MEMORY:,} bytes: Python alone maps much."
        )


def checked(
    form: str,
    name: str,
    pool: str,
    timeout: float | None,
    progress_timeout: float | None = None,
) -> None:
    """Refuse what no agent can have; `form` is how it was registered."""
    if not is_identifier(name) or not is_identifier(pool):
        raise ConfigurationError(
            f"{form}({name!r}, pool={pool!r}): use 1 to 100 letters, digits and _ . / - , "
            f'beginning with a letter or digit, as in {form}("summarise").'
        )
    for what, seconds in {"timeout": timeout, "progress_timeout": progress_timeout}.items():
        if seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT:
            raise ConfigurationError(
                f"{form}({name!r}, {what}={seconds!r}): must be above 0 and up to "
                f"{LONGEST_TIMEOUT:g} seconds."
            )


def name_of(resource: str | Resource) -> str:
    """The name of a resource, if it can be one."""
    name = resource.name if isinstance(resource, Resource) else resource
    if not is_identifier(name):
        raise ConfigurationError(
            f"{name!r} cannot name a resource: use 1 to 100 letters, digits and _ . / - , "
            "beginning with a letter or digit."
        )
    return name


def _parameters(
    name: str, function: Callable[..., Any]
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Names of the arguments after the context, those without default, and whether any goes."""
    context, *rest = [*inspect.signature(function).parameters.values()] or [_NO_PARAMETER]
    if context.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise ConfigurationError(
            f"The agent {name!r} must take the context first: def {function.__name__}(ctx, ...)."
        )
    kinds = inspect.Parameter
    if any(one.kind in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL) for one in rest):
        raise ConfigurationError(
            f"The agent {name!r} is given its arguments by name; it cannot take positional-only "
            "ones or *args."
        )
    named = [one for one in rest if one.kind is not kinds.VAR_KEYWORD]
    required = tuple(one.name for one in named if one.default is kinds.empty)
    return tuple(one.name for one in named), required, len(named) < len(rest)


#: Stands for the context of a function that takes nothing at all.
_NO_PARAMETER = inspect.Parameter("nothing", inspect.Parameter.KEYWORD_ONLY)


def _origin(function: Callable[..., Any]) -> str:
    module, name = (getattr(function, one, None) for one in ("__module__", "__qualname__"))
    return f"{module}.{name}" if name else repr(function)

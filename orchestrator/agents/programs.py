"""`process_agent`: any program becomes an agent of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.agents import registry
from orchestrator.agents.registry import RegisteredAgent, checked, name_of
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.resource import Resource
from orchestrator.domain.retry import RetryPolicy

#: Variables of the worker that every program is given. All others stay with the worker: among
#: them are addresses and passwords of its servers.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


@dataclass(frozen=True)
class Program:
    """How a program is started and ended."""

    #: the program and its arguments; no shell reads them
    command: tuple[str, ...]
    #: variables it is given beside the usual ones
    env: Mapping[str, str] = field(default_factory=dict)
    #: the folder it starts in; None: the worker's
    cwd: str | None = None
    #: bytes of address space for each of its processes; None: no bound of its own
    memory_limit: int | None = None
    #: seconds between being told to end (SIGTERM) and being ended (SIGKILL)
    grace: float = 5.0
    #: whether its stdin stays open for the answers to what it asks
    interactive: bool = False

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse to be called as Python agents are."""
        raise ConfigurationError(
            f"The agent is the program {self.command[0]!r}: it runs in a worker, not by a call."
        )


def process_agent(
    name: str,
    *,
    command: Sequence[str],
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
    pool: str = "default",
    resources: tuple[str | Resource, ...] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    memory_limit: int | None = None,
    grace: float = 5.0,
    interactive: bool = False,
    progress_timeout: float | None = None,
) -> None:
    """Register a program as the agent `name`: it reads JSON from stdin and writes JSON to stdout.

    `command` is the program and its arguments. With `interactive` its stdin stays open after the
    first line, for the answers to what it asks: it can spawn and wait. Of the worker's environment
    it is given PATH, HOME, LANG, TZ and a few like them, and beside these what is in `env`.
    `memory_limit` is the bytes each of its processes may map, `grace` the seconds between SIGTERM
    and SIGKILL when it has to stop. Whatever it writes is a sign of its progress. The other
    options are those of `@agent`.
    """
    checked("process_agent", name, pool, timeout, progress_timeout)
    _check(name, command, env or {}, memory_limit, grace)
    spec = AgentSpec(
        name=name,
        pool=pool,
        timeout=timeout,
        retry=retry or RetryPolicy(),
        resources=tuple(map(name_of, resources)),
        takes_any=True,
        progress_timeout=progress_timeout,
    )
    program = Program(tuple(command), dict(env or {}), cwd, memory_limit, grace, interactive)
    registry.REGISTRY.add(RegisteredAgent(spec, program))
    registry.REGISTRY.declare(one for one in resources if isinstance(one, Resource))


def _check(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    memory_limit: int | None,
    grace: float,
) -> None:
    def refuse(what: str) -> ConfigurationError:
        return ConfigurationError(f"process_agent({name!r}): {what}")

    if isinstance(command, str) or not command or not all(map(_is_text, command)):
        raise refuse('command is a list of texts, as in command=["python3", "count.py"].')
    if not all(_is_text(key) and "=" not in key and _is_text(env[key]) for key in env):
        raise refuse("env is a mapping of names to texts.")
    if memory_limit is not None and memory_limit < LEAST_MEMORY:
        raise refuse(f"memory_limit is a number of bytes, at least {LEAST_MEMORY:,}.")
    if not 0 <= grace <= LONGEST_GRACE:
        raise refuse(f"grace is a number of seconds up to {LONGEST_GRACE:g}.")


#: Bytes; with less, hardly any program starts.
LEAST_MEMORY = 4 * 1024 * 1024
#: Seconds; a worker gives an attempt up that takes longer to stop.
LONGEST_GRACE = 8.0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\x00" not in value

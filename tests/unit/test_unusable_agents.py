"""`@agent`: what the decorator learns of a function, and which functions cannot be agents."""

# The annotations of the agents here are only looked at by the type checker.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents import registry
from orchestrator.agents.programs import process_agent
from orchestrator.agents.registry import RegisteredAgent, Registry, agent
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import LONGEST_TIMEOUT, AgentSpec
from orchestrator.domain.retry import RetryPolicy


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that forgets what is registered here."""
    fresh = Registry()
    monkeypatch.setattr(registry, "REGISTRY", fresh)
    return fresh


def spec_of(function: Callable[..., Any], name: str = "a", **options: Any) -> AgentSpec:
    assert agent(name, **options)(function) is function
    return registry.REGISTRY.specs()[name]


def test_the_function_stays_as_it_is() -> None:
    def add(ctx: Any, a: int, b: int = 1) -> int:
        return a + b

    spec_of(add)
    assert add(None, 2) == 3


def plain(ctx: Any) -> None: ...
def named(ctx: Any, a: int, b: int = 1, *, c: int, d: int = 2) -> None: ...
def any_names(ctx: Any, a: int, **rest: int) -> None: ...
async def asynchronous(ctx: Any, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameters", "required", "takes_any"),
    [
        (plain, (), (), False),
        (named, ("a", "b", "c", "d"), ("a", "c"), False),
        (any_names, ("a",), ("a",), True),
        (asynchronous, ("a",), ("a",), False),
        (lambda ctx, a: a, ("a",), ("a",), False),
    ],
)
def test_the_arguments_are_read_from_the_signature(
    function: Callable[..., Any],
    parameters: tuple[str, ...],
    required: tuple[str, ...],
    takes_any: bool,
) -> None:
    spec = spec_of(function)
    assert (spec.parameters, spec.required, spec.takes_any) == (parameters, required, takes_any)


def test_options_are_recorded() -> None:
    retry = RetryPolicy.never()
    spec = spec_of(plain, retry=retry, timeout=1.5, pool="gpu", resources=("llm",))
    assert spec == AgentSpec("a", "gpu", 1.5, retry, ("llm",))


def test_an_async_function_is_known_as_one(fresh: Registry) -> None:
    spec_of(asynchronous, "async")
    spec_of(plain, "plain")
    assert {name: fresh.get(name).is_async for name in ("async", "plain")} == {  # type: ignore[union-attr]  # both are there
        "async": True,
        "plain": False,
    }


def nothing() -> None: ...
def only_keywords(*, a: int) -> None: ...
def only_rest(*arguments: int) -> None: ...
def only_names(**arguments: int) -> None: ...
def positional_context(ctx: Any, /) -> None: ...
def positional_argument(ctx: Any, a: int, /, b: int) -> None: ...
def gathers(ctx: Any, *arguments: int) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        nothing,
        only_keywords,
        only_rest,
        only_names,
        positional_context,
        positional_argument,
        gathers,
    ],
)
def test_a_function_that_cannot_be_called_by_name_is_refused(
    fresh: Registry, function: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigurationError, match="agent 'a'"):
        agent("a")(function)
    assert fresh.get("a") is None


@pytest.mark.parametrize(("name", "pool"), [("a b", "default"), ("", "default"), ("a", "p:q")])
def test_a_name_that_the_wire_cannot_carry_is_refused(name: str, pool: str) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits"):
        agent(name, pool=pool)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), LONGEST_TIMEOUT * 2])
def test_a_timeout_that_makes_no_sense_is_refused(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout="):
        agent("a", timeout=timeout)


def test_a_second_function_under_a_name_is_refused_by_both_names() -> None:
    spec_of(plain)
    with pytest.raises(ConfigurationError, match=r"plain.* and .*named"):
        spec_of(named)


def test_the_same_function_may_be_registered_again(fresh: Registry) -> None:
    """Modules are imported again: by reloads, and under the name `__main__`."""
    spec_of(plain)
    assert spec_of(plain, timeout=5).timeout == 5
    assert len(fresh.specs()) == 1


def test_the_specs_follow_later_registrations(fresh: Registry) -> None:
    specs = fresh.specs()
    assert not specs
    fresh.add(RegisteredAgent(AgentSpec("late"), plain))
    assert list(specs) == ["late"]
    assert fresh.get("never") is None


@pytest.mark.parametrize(
    "options",
    [
        {"command": []},
        {"command": "sh -c true"},
        {"command": ["a\x00"]},
        {"command": ["a", 1]},
        {"command": ["a"], "env": {"A=B": "1"}},
        {"command": ["a"], "env": {"A": 1}},
        {"command": ["a"], "memory_limit": 0},
        {"command": ["a"], "grace": -1},
        {"command": ["a"], "grace": 60},
        {"command": ["a"], "timeout": 0},
        {"command": ["a"], "pool": "?"},
    ],
)
def test_a_program_that_cannot_be_an_agent(options: dict[str, Any], fresh: Registry) -> None:
    with pytest.raises(ConfigurationError, match=r"process_agent\('a'"):
        process_agent("a", **options)
    assert not fresh.specs()


def test_two_programs_under_one_name() -> None:
    process_agent("a", command=["true"])
    process_agent("a", command=["true"])
    with pytest.raises(ConfigurationError, match="Give each its own name"):
        process_agent("a", command=["false"])


def test_a_program_is_no_function(fresh: Registry) -> None:
    process_agent("a", command=["true"])
    registered = fresh.get("a")
    assert registered is not None
    with pytest.raises(ConfigurationError, match="runs in a worker"):
        registered.function(None)

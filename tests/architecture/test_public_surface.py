"""What users may rely on is written down here, once; a change of it is a decision."""

from __future__ import annotations

import inspect

import pytest

import orchestrator

PUBLIC = [
    "AgentCancelled",
    "AgentFailed",
    "AsyncContext",
    "Breaker",
    "BreakerPolicy",
    "Budget",
    "BudgetState",
    "BudgetUse",
    "Call",
    "CallRefused",
    "CancelOutcome",
    "CancelReport",
    "CancelledNode",
    "ConfigurationError",
    "Constraint",
    "Context",
    "DeadlockDetected",
    "Event",
    "Explanation",
    "GateUnavailable",
    "Handle",
    "HistoryTooLong",
    "Instance",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSpawn",
    "LimitChange",
    "LimitForecast",
    "LimitState",
    "Limits",
    "Lock",
    "NonDeterministicAgent",
    "Orchestrator",
    "OrchestratorError",
    "PauseReport",
    "Priority",
    "Progress",
    "QueueRow",
    "QueueState",
    "Reason",
    "Resource",
    "ResultPending",
    "RetryPolicy",
    "SchemaOutdated",
    "Settings",
    "SpawnRefused",
    "SpawnRequest",
    "Stall",
    "State",
    "StepFailed",
    "StoreUnavailable",
    "TreeNode",
    "Unavailable",
    "WaitNode",
    "agent",
    "process_agent",
]

#: Public methods and properties of what users hold in their hands.
METHODS = {
    "AsyncContext": [
        "attempt",
        "call",
        "check",
        "continue_as_new",
        "handle",
        "lock",
        "now",
        "progress",
        "random",
        "sleep",
        "spawn",
        "spawn_many",
        "state",
        "step",
        "uuid",
        "wait",
        "wait_any",
        "wait_at_least",
    ],
    "Lock": ["is_held", "token"],
    "Handle": ["cancel", "progress", "result", "status"],
    "Orchestrator": [
        "breakers",
        "budget",
        "call",
        "cancel",
        "close",
        "dead",
        "deadlocks",
        "declare",
        "events",
        "explain",
        "force_breaker",
        "from_settings",
        "get",
        "handle",
        "limits",
        "list",
        "pause",
        "queue",
        "resume",
        "retry",
        "set_budget",
        "set_limit",
        "spawn",
        "spawn_many",
        "stalls",
        "tree",
        "unset_limit",
        "what_if",
    ],
}
#: Public only for the handles that they give out.
BEHIND_HANDLES = {"result_for", "status_of", "progress_of", "take_lock", "give_lock_back"}
#: Public only for what carries out a step or a call, and for the runtime.
BEHIND_STEPS = {
    *("open_step", "keep_step", "fail_step", "fail_again", "pause_before", "pause_until"),
    *("keep_call", "history"),
}


def test_the_surface_is_this_and_nothing_else() -> None:
    assert orchestrator.__all__ == PUBLIC
    assert all(hasattr(orchestrator, name) for name in PUBLIC)


def test_nothing_else_looks_public() -> None:
    """Submodules are there because Python puts them there; no other name is."""
    found = {
        name
        for name, value in vars(orchestrator).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert found == set(PUBLIC)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    kind = getattr(orchestrator, name)
    found = {method for method in vars(kind) if not method.startswith("_")} - BEHIND_HANDLES
    assert sorted(found) == METHODS[name]


def test_an_agents_context() -> None:
    kind = orchestrator.Context
    methods = {method for method in dir(kind) if not method.startswith("_")}
    found = methods - BEHIND_HANDLES - BEHIND_STEPS
    properties = {"id", "agent", "session", "tenant", "depth", "attempt"}
    assert found == properties | {
        *("call", "check", "spawn", "spawn_many", "wait", "wait_any", "wait_at_least", "cancel"),
        *("handle", "lock", "step", "now", "random", "uuid", "sleep", "state", "continue_as_new"),
        "progress",
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_explained(name: str) -> None:
    value = getattr(orchestrator, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for method, member in inspect.getmembers(value, inspect.isfunction):
            ours = member.__module__.startswith("orchestrator")
            assert method.startswith("_") or not ours or inspect.getdoc(member), method


def test_spawn_takes_what_the_contract_names() -> None:
    expected = [
        "self",
        "agent",
        "args",
        "session",
        "tenant",
        "priority",
        "idempotency_key",
        "timeout",
        "on_limit",
        "pool",
        "cost",
        "not_before",
        "expires_after",
        "budget",
        "connection",
    ]
    parameters = inspect.signature(orchestrator.Orchestrator.spawn).parameters
    assert list(parameters) == expected
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in expected[3:])


def test_the_decorator_takes_what_the_contract_names() -> None:
    parameters = list(inspect.signature(orchestrator.agent).parameters)
    assert parameters == ["name", "retry", "timeout", "pool", "resources"]

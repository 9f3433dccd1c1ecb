"""What users may rely on is written down here, once; a change of it is a decision."""

from __future__ import annotations

import inspect

import pytest

import orchestrator

PUBLIC = [
    "AgentCancelled",
    "AgentFailed",
    "AsyncContext",
    "AsyncShared",
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
    "Delivery",
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
    "Message",
    "MessageKind",
    "MessageRefused",
    "NonDeterministicAgent",
    "NothingReceived",
    "Orchestrator",
    "OrchestratorError",
    "PauseReport",
    "PayloadErased",
    "Priority",
    "Progress",
    "QueueRow",
    "QueueState",
    "Reason",
    "Resource",
    "ResultPending",
    "RetryPolicy",
    "SchemaOutdated",
    "Sent",
    "Session",
    "Settings",
    "Shared",
    "SharedValue",
    "SpawnRefused",
    "SpawnRequest",
    "Stall",
    "State",
    "StepFailed",
    "StoreUnavailable",
    "TreeNode",
    "Unavailable",
    "VersionConflict",
    "WaitNode",
    "agent",
    "http_agent",
    "llm_agent",
    "process_agent",
]

#: Public methods and properties of what users hold in their hands.
METHODS = {
    "AsyncContext": [
        "attempt",
        "broadcast",
        "call",
        "check",
        "continue_as_new",
        "failures",
        "handle",
        "lock",
        "now",
        "progress",
        "publish",
        "random",
        "receive",
        "reply",
        "request",
        "send",
        "shared",
        "signal",
        "sleep",
        "spawn",
        "spawn_many",
        "state",
        "step",
        "subscribe",
        "uuid",
        "wait",
        "wait_any",
        "wait_at_least",
    ],
    "Lock": ["is_held", "token"],
    "Handle": ["cancel", "progress", "result", "send", "signal", "status"],
    "Session": ["broadcast", "instances", "messages", "publish", "tree"],
    "Shared": [
        "all",
        "at",
        "delete",
        "entry",
        "get",
        "history",
        "rollback",
        "set",
        "update",
        "version",
    ],
    "Orchestrator": [
        "breakers",
        "broadcast",
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
        "messages",
        "pause",
        "publish",
        "queue",
        "resume",
        "retry",
        "send",
        "session",
        "set_budget",
        "set_limit",
        "signal",
        "spawn",
        "spawn_many",
        "stalls",
        "tree",
        "unset_limit",
        "what_if",
    ],
}
#: Public only for the handles that they give out.
BEHIND_HANDLES = {
    "result_for",
    "give_signal",
    "status_of",
    "progress_of",
    "take_lock",
    "give_lock_back",
}
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
    assert sorted(_public(kind) - BEHIND_HANDLES) == METHODS[name]


def _public(kind: type) -> set[str]:
    """What is public of a class, and of those of ours that it is made of."""
    ours = (one for one in kind.__mro__ if one.__module__.startswith("orchestrator"))
    return {name for one in ours for name in vars(one) if not name.startswith("_")}


def test_an_agents_context() -> None:
    found = _public(orchestrator.Context) - BEHIND_HANDLES - BEHIND_STEPS
    properties = {"id", "agent", "session", "tenant", "depth", "attempt", "failures"}
    assert found == properties | {
        *("call", "check", "spawn", "spawn_many", "wait", "wait_any", "wait_at_least", "cancel"),
        *("handle", "lock", "step", "now", "random", "uuid", "sleep", "state", "continue_as_new"),
        "progress",
        *("broadcast", "publish", "receive", "reply", "request", "send", "signal", "subscribe"),
        "shared",
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
        "after",
        "on_failure",
        "preemptible",
        "progress_timeout",
        "connection",
    ]
    parameters = inspect.signature(orchestrator.Orchestrator.spawn).parameters
    assert list(parameters) == expected
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in expected[3:])


def test_the_decorator_takes_what_the_contract_names() -> None:
    parameters = list(inspect.signature(orchestrator.agent).parameters)
    assert parameters == [
        *("name", "retry", "timeout", "pool", "resources"),
        *("isolate", "memory_limit", "progress_timeout"),
    ]

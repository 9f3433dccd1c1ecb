"""Errors carry a code for programs and a sentence for people, and turn into JSON."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.domain import errors
from orchestrator.domain.errors import (
    AgentCancelled,
    AgentFailed,
    CallRefused,
    ConfigurationError,
    DeadlockDetected,
    GateUnavailable,
    HistoryTooLong,
    InstanceNotFound,
    InvalidRequest,
    InvalidSpawn,
    MessageRefused,
    NonDeterministicAgent,
    NothingReceived,
    OrchestratorError,
    PayloadErased,
    ResultPending,
    SchemaOutdated,
    SpawnRefused,
    StepFailed,
    StoreUnavailable,
    Unavailable,
    VersionConflict,
)
from orchestrator.domain.verdict import Decision, Refusal, Verdict
from orchestrator.domain.waits import WaitNode

ONE_OF_EACH: list[OrchestratorError] = [
    OrchestratorError("CODE", "words"),
    SpawnRefused("QUEUE_FULL", "words", limit=3, current=3, retry_after=1.5),
    InvalidSpawn("NOT_JSON", "words"),
    InvalidRequest("INVALID_ID", "words"),
    CallRefused("RATE_LIMITED", "words", resource="llm", retry_after=1.5),
    InstanceNotFound("an-id"),
    AgentFailed("an-id", "add", "AGENT_ERROR", {"type": "ValueError", "message": "no"}),
    AgentCancelled("an-id", "add", "PARENT_ENDED"),
    ResultPending(["one", "two"], 1.5),
    DeadlockDetected((WaitNode("an-id", "agent-B"), WaitNode("other-id", "agent-C"))),
    MessageRefused("RECIPIENT_ENDED", "words", recipient="an-id"),
    NothingReceived("signal 'go'", 1.5),
    VersionConflict("s", "key", 3, 4),
    NonDeterministicAgent("an-id", 2, "add({})", "echo({})"),
    StepFailed("fetch", {"type": "ValueError", "message": "no"}),
    HistoryTooLong("an-id", 10),
    Unavailable("AWAY", "words"),
    GateUnavailable("GATE_UNAVAILABLE", "words"),
    StoreUnavailable("STORE_UNAVAILABLE", "words"),
    PayloadErased("an-id"),
    SchemaOutdated("no table"),
    ConfigurationError("words"),
]
each = pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)


def _public_errors() -> Iterator[type[OrchestratorError]]:
    for name, found in inspect.getmembers(errors, inspect.isclass):
        if issubclass(found, OrchestratorError) and not name.startswith("_"):
            yield found


def test_no_error_is_left_out_here() -> None:
    assert {type(error) for error in ONE_OF_EACH} == set(_public_errors())


@each
def test_an_error_is_its_message_and_its_json(error: OrchestratorError) -> None:
    assert str(error) == error.message != ""
    value = json.loads(json.dumps(error.to_dict()))
    assert (value["code"], value["message"]) == (error.code, error.message)
    assert value["retryable"] is error.retryable


@each
def test_only_what_may_pass_by_itself_is_retryable(error: OrchestratorError) -> None:
    passing = Unavailable | ResultPending | NothingReceived | DeadlockDetected
    passes = isinstance(error, passing) or (
        isinstance(error, SpawnRefused | CallRefused) and error.retry_after is not None
    )
    assert error.retryable is passes


def test_a_refusal_tells_its_numbers() -> None:
    error = SpawnRefused(
        "QUEUE_FULL", "words", limit=3, current=4, retry_after=1.5, scope="tenant", holders=["a"]
    )
    assert error.to_dict() == {
        "code": "QUEUE_FULL",
        "message": "words",
        "retryable": True,
        "limit": 3,
        "current": 4,
        "retry_after": 1.5,
        "scope": "tenant",
        "holders": ["a"],
    }


def test_a_pending_result_is_a_timeout_for_those_who_know_only_that() -> None:
    with pytest.raises(TimeoutError, match=r"No result after 1\.5 s from one, two"):
        raise ResultPending(["one", "two"], 1.5)


def test_a_failure_names_its_cause() -> None:
    error = AgentFailed("an-id", "add", "AGENT_ERROR", {"type": "ValueError", "message": "no"})
    assert str(error) == "add an-id failed: ValueError: no"
    assert (error.instance_id, error.agent, error.code) == ("an-id", "add", "AGENT_ERROR")
    assert str(AgentFailed("an-id", "add", "LEASE_EXPIRED", None)) == (
        "add an-id failed: LEASE_EXPIRED"
    )


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"refusal": Refusal.MAX_DEPTH_EXCEEDED, "limit": 5, "current": 6}, "depth 6; at most 5"),
    (
        {"refusal": Refusal.BREAKER_OPEN, "scope": "breaker", "retry_after": 30.0},
        "breaker.*30 s",
    ),
    (
        {
            "refusal": Refusal.CONCURRENT_LIMIT,
            "scope": "session",
            "limit": 10,
            "current": 10,
            "retry_after": 15.0,
        },
        r"10 of 10 slots \(session\).*after 15 s",
    ),
    (
        {
            "refusal": Refusal.CONCURRENT_LIMIT,
            "scope": "workers",
            "limit": 0,
            "current": 0,
            "retry_after": 15.0,
        },
        "No live worker.*orchestrator worker",
    ),
    (
        {
            "refusal": Refusal.QUEUE_FULL,
            "scope": "tenant",
            "limit": 3,
            "current": 3,
            "retry_after": 0.5,
        },
        r"queue of the tenant is full: 3 of 3.*0\.5 s",
    ),
    (
        {
            "refusal": Refusal.BUDGET_EXCEEDED,
            "scope": "usd",
            "limit": 2.5,
            "current": 2.0,
            "asked": 1.0,
            "budget": "session s",
        },
        r"budget of session s has not enough usd left: 2 of 2\.5 are taken, and 1 more",
    ),
    (
        {
            "refusal": Refusal.BUDGET_EXCEEDED,
            "scope": "live",
            "limit": 3,
            "current": 3,
            "retry_after": 15.0,
            "budget": "instance i",
        },
        "budget of instance i lets 3 instances be live",
    ),
    (
        {"refusal": Refusal.BUDGET_EXCEEDED, "scope": "deadline", "budget": "session s"},
        "deadline of the budget of session s has passed",
    ),
    (
        {
            "refusal": Refusal.BUDGET_EXCEEDED,
            "scope": "depth",
            "limit": 1,
            "current": 2,
            "budget": "session s",
        },
        "lets 1 levels stand below its owner; this spawn would stand 2 below",
    ),
    ({"refusal": Refusal.PARENT_ENDED}, "parent of this spawn has ended"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSALS)
def test_every_refusal_of_the_gate_has_words(fields: dict[str, Any], words: str) -> None:
    error = Verdict(Decision.REFUSED, **fields).to_error()
    assert error.code == fields["refusal"]
    assert (error.limit, error.current) == (fields.get("limit"), fields.get("current"))
    assert error.retry_after == fields.get("retry_after")
    with pytest.raises(SpawnRefused, match=words):
        raise error


def test_no_refusal_of_the_gate_is_left_out_here() -> None:
    assert {fields["refusal"] for fields, _ in REFUSALS} == set(Refusal)

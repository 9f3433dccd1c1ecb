"""A spawn is checked before any server is asked; each fault has its own code and words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from orchestrator import bootstrap
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import LONGEST_TIMEOUT, AgentSpec, Parent, SpawnRequest
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from orchestrator.engine.prepare import prepare

SPECS = {
    spec.name: spec
    for spec in (
        AgentSpec("fetch", parameters=("url", "tries"), required=("url",)),
        AgentSpec("any", parameters=("a",), required=("a",), takes_any=True),
        AgentSpec("slow", pool="gpu", timeout=7.0, retry=RetryPolicy.never()),
    )
}
FETCH = {"url": "x"}


@pytest.fixture
def deps() -> Iterator[Deps]:
    """The engine, on servers that do not exist: nothing here may ask them."""
    nowhere = Settings.load(
        redis_url="redis://127.0.0.1:1", database_url="postgresql://127.0.0.1:1"
    )
    deps = bootstrap.build(nowhere)
    yield dataclasses.replace(
        deps,
        catalogue=Catalogue(SPECS, dict),
        max_payload_bytes=100,
        default_timeout=60.0,
    )
    bootstrap.close(deps)


def request(**fields: Any) -> SpawnRequest:
    return SpawnRequest(**{"agent": "fetch", "args": FETCH} | fields)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"agent": "fetsh"}, "UNKNOWN_AGENT", "Did you mean fetch"),
    ({"agent": "a b"}, "INVALID_NAME", "cannot name an agent"),
    ({"agent": None}, "INVALID_NAME", "None"),
    ({"args": {}}, "INVALID_ARGUMENTS", "fetch takes url, tries: url is missing"),
    ({"args": {"url": "x", "retries": 1}}, "INVALID_ARGUMENTS", "retries is not one of its"),
    ({"args": {"ulr": "x"}}, "INVALID_ARGUMENTS", "url is missing; ulr is not one"),
    ({"agent": "slow", "args": {"a": 1}}, "INVALID_ARGUMENTS", "slow takes no arguments"),
    ({"agent": "any", "args": {"b": 1}}, "INVALID_ARGUMENTS", "a is missing"),
    ({"args": ["x"]}, "INVALID_ARGUMENTS", "this is list"),
    ({"args": "url=x"}, "INVALID_ARGUMENTS", "this is str"),
    ({"args": None}, "INVALID_ARGUMENTS", "this is NoneType"),
    ({"args": {1: "x"}}, "INVALID_ARGUMENTS", "mapping of names"),
    ({"args": {"url": {"a": [1, object()]}}}, "NOT_JSON", r"args\.url\.a\[1\] is of type object"),
    ({"args": {"url": float("nan")}}, "NOT_JSON", r"args\.url is nan"),
    ({"args": {"url": "\ud800"}}, "NOT_JSON", r"args\.url contains a lone surrogate"),
    ({"args": {"url": "x" * 100}}, "PAYLOAD_TOO_LARGE", "at most 100 are allowed"),
    ({"priority": "urgent"}, "INVALID_PRIORITY", "critical, high"),
    ({"priority": 9}, "INVALID_PRIORITY", "9"),
    ({"timeout": -1}, "INVALID_TIMEOUT", "-1"),
    ({"timeout": 0}, "INVALID_TIMEOUT", "0"),
    ({"timeout": float("inf")}, "INVALID_TIMEOUT", "inf"),
    ({"timeout": float("nan")}, "INVALID_TIMEOUT", "nan"),
    ({"timeout": True}, "INVALID_TIMEOUT", "True"),
    ({"timeout": "5"}, "INVALID_TIMEOUT", "'5'"),
    ({"timeout": LONGEST_TIMEOUT + 1}, "INVALID_TIMEOUT", "up to"),
    ({"timeout": 10**400}, "INVALID_TIMEOUT", "up to"),
    ({"on_limit": "wait"}, "INVALID_ON_LIMIT", "'wait'"),
    ({"on_limit": ["queue"]}, "INVALID_ON_LIMIT", "queue"),
    ({"pool": "a b"}, "INVALID_NAME", "cannot name a pool"),
    ({"tenant": ""}, "INVALID_NAME", "cannot be a tenant"),
    ({"tenant": None}, "INVALID_NAME", "cannot be a tenant"),
    ({"session": "x" * 201}, "INVALID_NAME", "cannot be a session"),
    ({"session": ""}, "INVALID_NAME", "cannot be a session"),
    ({"session": "a\x00"}, "INVALID_NAME", "cannot be a session"),
    ({"idempotency_key": ""}, "INVALID_NAME", "cannot be an idempotency key"),
    ({"idempotency_key": 5}, "INVALID_NAME", "cannot be an idempotency key"),
]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    REFUSED,
    ids=[f"{next(iter(f))}-{n}" for n, (f, _, _) in enumerate(REFUSED)],
)
def test_each_fault_has_its_code_and_names_the_culprit(
    deps: Deps, fields: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(InvalidSpawn, match=words) as caught:
        prepare(deps, request(**fields))
    assert caught.value.code == code
    assert caught.value.retryable is False


def test_what_is_left_out_is_filled_in(deps: Deps) -> None:
    new = prepare(deps, request())
    assert new.session == f"session-{new.id}"
    assert (new.root_id, new.depth, new.parent) == (new.id, 0, None)
    assert (new.tenant, new.pool, new.priority) == ("default", "default", Priority.NORMAL)
    assert json.loads(new.args) == FETCH


def test_every_spawn_has_an_id_of_its_own(deps: Deps) -> None:
    assert prepare(deps, request()).id != prepare(deps, request()).id


def test_the_agents_own_wishes_hold_unless_the_spawn_has_others(deps: Deps) -> None:
    own = prepare(deps, request(agent="slow", args={}))
    assert (own.pool, own.timeout_seconds, own.retry) == ("gpu", 7.0, RetryPolicy.never())
    other = prepare(deps, request(agent="slow", args={}, pool="cpu", timeout=1))
    assert (other.pool, other.timeout_seconds) == ("cpu", 1.0)
    assert prepare(deps, request()).timeout_seconds == 60.0


def test_arguments_may_be_any_mapping(deps: Deps) -> None:
    assert json.loads(prepare(deps, request(args=MappingProxyType(FETCH))).args) == FETCH


def test_an_agent_that_takes_any_name_is_given_any(deps: Deps) -> None:
    args = {"a": 1, "ctx-like": 2, "ünïcode": 3}
    assert json.loads(prepare(deps, request(agent="any", args=args)).args) == args


def test_a_child_belongs_to_its_parents_tree(deps: Deps) -> None:
    """Session and tenant are the parent's, whatever the request says."""
    parent = Parent("p", 2, "s", "acme", "root", 3, 0)
    child = prepare(deps, request(session="other", tenant="other"), parent)
    assert (child.session, child.tenant, child.root_id) == ("s", "acme", "root")
    assert (child.depth, child.parent) == (4, parent)

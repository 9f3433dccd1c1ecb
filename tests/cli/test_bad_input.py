"""Each bad input is one clear line with a code, never a traceback, and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
import typer
from typer.core import TyperGroup

from orchestrator.cli.main import app
from orchestrator.config.settings import Settings
from orchestrator.devstack.ports import free_port
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import SpawnRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from tests.cli.conftest import Command, Ran

MISSING = new_id()

#: arguments, exit code, error code, a word of the message
BAD: list[tuple[tuple[str, ...], int, str, str]] = [
    (("spawn", "ad"), 3, "UNKNOWN_AGENT", "Did you mean add"),
    (("spawn", "no such name"), 3, "INVALID_NAME", "no such name"),
    (("spawn", "add"), 3, "INVALID_ARGUMENTS", "a is missing"),
    (("spawn", "add", '{"a": 1, "z": 2}'), 3, "INVALID_ARGUMENTS", "z is not one"),
    (("spawn", "add", "{a: 1}"), 3, "INVALID_ARGUMENTS", "not JSON"),
    (("spawn", "add", ""), 3, "INVALID_ARGUMENTS", "not JSON"),
    (("spawn", "add", "[1]"), 3, "INVALID_ARGUMENTS", "this is list"),
    (("spawn", "add", "null"), 3, "INVALID_ARGUMENTS", "a is missing"),
    (("spawn", "echo", "[]"), 3, "INVALID_ARGUMENTS", "this is list"),
    (("spawn", "add", '{"a": NaN}'), 3, "NOT_JSON", "args.a is nan"),
    (("spawn", "add", '{"a": "\\u0000"}'), 3, "NOT_JSON", "args.a contains a NUL"),
    (("spawn", "add", '{"a": "\\ud800"}'), 3, "NOT_JSON", "surrogate"),
    (("spawn", "add", f'{{"a": "{"x" * 300_000}"}}'), 3, "PAYLOAD_TOO_LARGE", "262,144"),
    (("spawn", "add", "[" * 100_000), 3, "INVALID_ARGUMENTS", "JSON"),
    (("spawn", "add", '{"a": 1}', "--priority", "urgent"), 3, "INVALID_PRIORITY", "critical"),
    (("spawn", "add", '{"a": 1}', "--timeout", "-1"), 3, "INVALID_TIMEOUT", "-1"),
    (("spawn", "add", '{"a": 1}', "--timeout", "nan"), 3, "INVALID_TIMEOUT", "nan"),
    (("spawn", "add", '{"a": 1}', "--on-limit", "wait"), 3, "INVALID_ON_LIMIT", "queue"),
    (("spawn", "add", '{"a": 1}', "--session", ""), 3, "INVALID_NAME", "session"),
    (("spawn", "add", '{"a": 1}', "--tenant", "a\nb"), 3, "INVALID_NAME", "tenant"),
    (("spawn", "add", '{"a": 1}', "--pool", "a b"), 3, "INVALID_NAME", "pool"),
    (("spawn", "add", '{"a": 1}', "--idempotency-key", ""), 3, "INVALID_NAME", "key"),
    (("spawn", "add", '{"a": 1}', "--on-limit", "refuse"), 3, "CONCURRENT_LIMIT", "No live worker"),
    (("spawn", "add", '{"a": 1}', "--session", "theirs"), 3, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("show", "nonsense"), 1, "INVALID_ID", "nonsense"),
    (("show", ""), 1, "INVALID_ID", "''"),
    (("show", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("events", "nonsense"), 1, "INVALID_ID", "nonsense"),
    (("events", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("tree", "nobody's session"), 1, "INSTANCE_NOT_FOUND", "nobody's session"),
    (("tree", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    # What a shell's "\xff" becomes in Python.
    (("tree", "a\udcff"), 1, "INSTANCE_NOT_FOUND", ""),
    (("housekeeping", "run", "sweeping"), 1, "UNKNOWN_JOB", "sweep, limits"),
    (("cancel", "nonsense"), 1, "INVALID_ID", "nonsense"),
    (("cancel", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("cancel", MISSING, "--wait", "1"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("pause", "agents:add"), 1, "INVALID_SCOPE", "agents:add"),
    (("pause", "agent"), 1, "INVALID_SCOPE", "pool:gpu"),
    (("pause", "weight:tenant:t"), 1, "INVALID_SCOPE", "weight"),
    (("pause", "session:nobody's"), 1, "INVALID_SCOPE", "tenant"),
    (("pause", "instance:nonsense"), 1, "INVALID_ID", "nonsense"),
    (("pause", f"instance:{MISSING}"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("resume", f"instance:{MISSING}"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("resume", "a\udcff"), 1, "INVALID_SCOPE", ""),
    (("retry", "nonsense"), 1, "INVALID_ID", "nonsense"),
    (("retry", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("dead", "--agent", "a\udcff"), 1, "INVALID_", ""),
    (("list", "--state", "lost"), 1, "INVALID_STATE", "queued, running"),
    (("list", "--session", "a\udcff"), 1, "INVALID_", ""),
    (("list", "--tenant", "a\udcff"), 1, "INVALID_", ""),
    (("list", "--agent", "a\udcff"), 1, "INVALID_", ""),
    (("limits", "set", "tenants:acme", "5"), 1, "INVALID_SCOPE", "did you mean tenant"),
    (("limits", "set", "everything", "5"), 1, "INVALID_SCOPE", "session, tenant"),
    (("limits", "set", "tenant:", "5"), 1, "INVALID_SCOPE", "name is missing"),
    (("limits", "set", "session:s1", "5"), 1, "INVALID_SCOPE", "session:acme/s1"),
    (("limits", "set", "session:acme/", "5"), 1, "INVALID_SCOPE", "name is missing"),
    (("limits", "set", "agent:a b", "5"), 1, "INVALID_SCOPE", "a b"),
    (("limits", "set", "tenant:a\udcff", "5"), 1, "INVALID_SCOPE", "printable"),
    (("limits", "set", "global:x", "5"), 1, "INVALID_SCOPE", "session, tenant, agent, pool"),
    (("limits", "set", "weight:tenant", "5"), 1, "INVALID_SCOPE", "one tenant or session"),
    (("limits", "set", "weight:pool:gpu", "5"), 1, "INVALID_SCOPE", "tenant, session"),
    (("limits", "set", "tenant", "-1"), 1, "INVALID_LIMIT", "from 0"),
    (("limits", "set", "tenant", "2.5"), 1, "INVALID_LIMIT", "whole number"),
    (("limits", "set", "tenant", "many"), 1, "INVALID_LIMIT", "'many'"),
    (("limits", "set", "tenant", "nan"), 1, "INVALID_LIMIT", "'nan'"),
    (("limits", "set", "tenant", "inf"), 1, "INVALID_LIMIT", "'inf'"),
    (("limits", "set", "weight:tenant:acme", "0"), 1, "INVALID_LIMIT", "0.001"),
    (("limits", "what-if", "tenant", "-1"), 1, "INVALID_LIMIT", "from 0"),
    (("limits", "what-if", "max_depth", "3"), 1, "INVALID_SCOPE", "cannot be said"),
    (("limits", "unset", "tenants"), 1, "INVALID_SCOPE", "did you mean tenant"),
    (("explain", "nonsense"), 1, "INVALID_ID", "nonsense"),
    (("explain", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("send", "nonsense", "1"), 1, "INVALID_ID", "nonsense"),
    (("send", MISSING, "1"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("send", MISSING, "hello"), 1, "NOT_JSON", "in quotes"),
    (("send", MISSING, '{"a": NaN}'), 1, "NOT_JSON", "body.a is nan"),
    (("send", MISSING, f'"{"x" * 300_000}"'), 1, "PAYLOAD_TOO_LARGE", "262,144"),
    (("send", MISSING, "1", "--idempotency-key", ""), 1, "INVALID_NAME", "key"),
    (("signal", MISSING, "go"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("signal", MISSING, ""), 1, "INVALID_NAME", "signal"),
    (("signal", MISSING, "a\nb"), 1, "INVALID_NAME", "signal"),
    (("signal", MISSING, "go", "{"), 1, "NOT_JSON", "not JSON"),
    (("broadcast", "nobody's session", "1"), 1, "SESSION_NOT_FOUND", "nobody's session"),
    (("broadcast", "theirs", "1"), 1, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("broadcast", MISSING, "1"), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("broadcast", "a\udcff", "1"), 1, "INVALID_NAME", "session"),
    (("messages", MISSING), 1, "INSTANCE_NOT_FOUND", MISSING),
    (("session", "show", "theirs"), 1, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("session", "show", ""), 1, "INVALID_NAME", "session"),
    (("session", "show", "s", "--version", "-1"), 1, "INVALID_VERSION", "-1"),
    (("session", "set", "theirs", "a", "1"), 1, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("session", "set", "s", "", "1"), 1, "INVALID_NAME", "key"),
    (("session", "set", "s", "a", "one"), 1, "NOT_JSON", "in quotes"),
    (
        ("session", "set", "s", "a", "1", "--expected-version", "7"),
        1,
        "VERSION_CONFLICT",
        "at version 0",
    ),
    (("session", "history", "theirs", "a"), 1, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("session", "rollback", "theirs", "0"), 1, "SESSION_OF_ANOTHER_TENANT", "theirs"),
    (("session", "rollback", "s", "3"), 1, "INVALID_VERSION", "never at version 3"),
    (("erase", "--yes"), 1, "NOTHING_TO_ERASE", "session or a tenant"),
    (("erase", "--session", "theirs", "--yes"), 1, "STILL_LIVE", "have not ended"),
    (("erase", "--session", "nobody's", "--yes"), 1, "SESSION_NOT_FOUND", "nobody's"),
    (
        ("erase", "--session", "theirs", "--tenant", "t", "--yes"),
        1,
        "SESSION_OF_ANOTHER_TENANT",
        "theirs",
    ),
    (("erase", "--tenant", "", "--yes"), 1, "INVALID_NAME", "tenant"),
    (("rekey",), 1, "CONFIGURATION", "ORCHESTRATOR_ENCRYPTION_KEY"),
    (("grant", "nobody at all"), 1, "UNKNOWN_ROLE", "CREATE ROLE"),
    (("grant", "orchestrator"), 1, "UNSAFE_ROLE", "superuser"),
    (("audit", "verify", "--file", "nowhere"), 1, "UNREADABLE_EXPORT", "nowhere"),
    (("audit", "verify", "--file", "/dev/null"), 1, "UNREADABLE_EXPORT", "Line 1"),
    (("migrate", "nowhere"), 1, "", "nowhere"),
    (("worker",), 1, "CONFIGURATION", "--agents"),
    (("worker", "--agents", "tests.support.agents", "--pool", "a b"), 1, "INVALID_NAME", "a b"),
]

USAGE: list[tuple[str, ...]] = [
    ("spwan",),
    ("spawn",),
    ("spawn", "add", "{}", "extra"),
    ("spawn", "add", "--timeout", "soon"),
    ("spawn", "add", "--no-such-option"),
    ("list", "--limit", "0"),
    ("list", "--limit", "many"),
    ("limits", "sett"),
    ("pause",),
    ("cancel", MISSING, "--wait", "-1"),
    ("dead", "--limit", "0"),
    ("limits", "set", "tenant"),
    ("queue", "--limit", "0"),
    ("worker", "--concurrency", "0"),
    ("dev", "--workers", "-1"),
]


def short(arguments: tuple[str, ...]) -> str:
    return ascii(" ".join(arguments))[:60]


@pytest.fixture
def theirs(deps: Deps) -> None:
    """A session of another tenant."""
    spawn(deps, SpawnRequest("add", {"a": 1}, session="theirs", tenant="them"))


def code_of(ran: Ran) -> str:
    return str(json.loads(ran.err)["error"]["code"])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "word"), BAD, ids=[short(arguments) for arguments, *_ in BAD]
)
@pytest.mark.usefixtures("theirs")
def test_one_clear_error(
    command: Command,
    deps: Deps,
    arguments: tuple[str, ...],
    exit_code: int,
    code: str,
    word: str,
) -> None:
    before = deps.store.list(), deps.gate.held(), deps.gate.backlog()
    # As a person reads it
    ran = command(*arguments)
    assert (ran.code, ran.out) == (exit_code, "")
    assert word in ran.err
    assert "Traceback" not in ran.err
    found, _, words = ran.err.strip().partition(" ")
    assert found.startswith(code)
    assert found.isupper()
    assert words
    # As a program reads it
    ran = command(*arguments, "--json")
    assert (ran.code, ran.out) == (exit_code, "")
    assert code_of(ran) == found
    assert (deps.store.list(), deps.gate.held(), deps.gate.backlog()) == before


@pytest.mark.parametrize("arguments", USAGE, ids=short)
def test_a_wrong_command_line_is_explained(
    command: Command, settings: Settings, arguments: tuple[str, ...]
) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage:" in ran.err
    assert "Traceback" not in ran.err


#: Commands that need servers, with arguments that are fine.
NEEDY: list[tuple[str, ...]] = [
    ("spawn", "add", '{"a": 1}'),
    ("show", MISSING),
    ("list",),
    ("tree", "s"),
    ("events", MISSING),
    ("cancel", MISSING),
    ("explain", MISSING),
    ("pause", "agent:add"),
    ("resume", "agent:add"),
    ("dead",),
    ("retry", MISSING),
    ("send", MISSING, "1"),
    ("signal", MISSING, "go"),
    ("broadcast", "s", "1"),
    ("messages", MISSING),
    ("session",),
    ("session", "show", "s"),
    ("session", "set", "s", "a", "1"),
    ("grant", "nobody"),
    ("erase", "--session", "s", "--yes"),
    ("audit", "verify"),
    ("housekeeping",),
    ("housekeeping", "run", "sweep"),
    ("audit", "head"),
    ("audit", "export"),
    ("limits",),
    ("limits", "set", "tenant", "5"),
    ("limits", "unset", "tenant"),
    ("limits", "what-if", "tenant", "5"),
    ("queue",),
    ("breakers",),
    ("breakers", "open", "llm"),
    ("budget", "s"),
    ("deadlocks",),
    ("migrate",),
    ("worker", "--agents", "tests.support.agents"),
    ("beat",),
    ("callbacks",),
    ("metrics",),
]
needy = pytest.mark.parametrize("arguments", NEEDY, ids=short)


def one_error(ran: Ran, exit_code: int, code: str) -> str:
    assert (ran.code, ran.out) == (exit_code, "")
    error = json.loads(ran.err)["error"]
    assert error["code"] == code
    return str(error["message"])


@needy
def test_without_servers_it_says_how_to_get_some(
    command: Command,
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "DATABASE_URL", "AGENTS"):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}", raising=False)
    message = one_error(command(*arguments, "--json"), 1, "CONFIGURATION")
    assert "orchestrator dev" in message
    assert "ORCHESTRATOR_REDIS_URL" in message


@needy
def test_a_bad_setting_is_named(
    command: Command,
    settings: Settings,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "soon")
    message = one_error(command(*arguments, "--json"), 1, "CONFIGURATION")
    assert "lease = 'soon'" in message


@pytest.mark.parametrize("arguments", [one for one in NEEDY if one[0] != "migrate"], ids=short)
def test_a_database_without_our_tables_says_to_migrate(
    command: Command,
    settings: Settings,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.database_url is not None
    empty = sa.make_url(settings.database_url).set(database="postgres")
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", empty.render_as_string(hide_password=False))
    message = one_error(command(*arguments, "--json"), 1, "SCHEMA_OUTDATED")
    assert "orchestrator migrate" in message


@pytest.mark.parametrize(
    "arguments", [one for one in NEEDY if one[0] in ("spawn", "list", "worker")], ids=short
)
def test_postgresql_away(
    command: Command,
    settings: Settings,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "ORCHESTRATOR_DATABASE_URL", f"postgresql://u:s3cret@127.0.0.1:{free_port()}/x"
    )
    ran = command(*arguments, "--json")
    message = one_error(ran, 4, "STORE_UNAVAILABLE")
    assert "refused" in message
    assert "s3cret" not in message


@pytest.mark.parametrize("arguments", [NEEDY[0]], ids=short)
def test_redis_away(
    command: Command,
    deps: Deps,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    message = one_error(command(*arguments, "--json"), 4, "GATE_UNAVAILABLE")
    assert "refused" in message
    assert "s3cret" not in message
    assert deps.store.list() == []


def test_no_command_is_forgotten_here() -> None:
    named = {arguments[0] for arguments in NEEDY} | {"doctor", "demo", "dev", "rekey"}
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    assert set(group.commands) == named

"""Danger: a payload stands readable in the database, or what was erased can still be read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from orchestrator import PayloadErased, bootstrap
from orchestrator.agents.handle import result_of
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError, InvalidRequest
from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.domain.message import MessageKind, NewMessage, Reach
from orchestrator.domain.payload import ERASED
from orchestrator.domain.progress import Progress
from orchestrator.engine import audit, rebuild, seal
from orchestrator.engine.deps import Deps
from orchestrator.engine.erase import erase
from orchestrator.engine.spawn import spawn
from orchestrator.store import vault as vaults
from orchestrator.store.envelope import is_sealed
from orchestrator.store.journal import Recording
from orchestrator.store.schema import metadata
from orchestrator.store.store import Ending, Store
from tests.store.life import found

#: Stands in every payload.
CANARY = "c4nary-7f3a"
ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def with_keys(settings: Settings, *keys: str) -> Deps:
    secret = tuple(SecretStr(key) for key in keys)
    return bootstrap.build(
        settings.model_copy(update={"encryption_key": secret}), specs=REGISTRY.specs()
    )


@pytest.fixture(autouse=True)
def no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked at again each time."""
    monkeypatch.setattr(vaults, "TRUST", 0.0)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without a key, whatever the surroundings have."""
    return settings.model_copy(update={"encryption_key": ()})


@pytest.fixture
def secret(settings: Settings) -> Iterator[Deps]:
    deps = with_keys(settings, ONE)
    rebuild.run_once(deps)
    yield deps
    bootstrap.close(deps)


def told(name: str) -> dict[str, Any]:
    return {name: CANARY}


def lived(deps: Deps, session: str = "s", tenant: str = "default") -> str:
    """An instance that has written every kind of payload, and has ended; and one that failed."""
    store = deps.store
    one = spawn(deps, SpawnRequest("echo", told("args"), session=session, tenant=tenant))
    store.begin(one, 1, "w")
    error = {"type": "E", "message": CANARY, "traceback": CANARY}
    entries = [Entry(0, "step", "a", told("step")), Entry(1, "step", "b", None, error)]
    assert store.journal.write(one, 1, entries)
    assert store.journal.write_checkpoint(one, 1, json.dumps(told("state"))) == 1
    store.control.write_progress([(one, Progress(0.5, CANARY, store.clock(), 1))])
    body = json.dumps(told("body"))
    to = Reach.INSTANCE
    for kind in (MessageKind.MESSAGE, MessageKind.SIGNAL):
        new = NewMessage(one, kind, to, body, target=one, name="go")
        assert store.messages.send(new if kind == "signal" else _again(new)).outcome == "sent"
    # The same again is recognised, although all that the database sees is sealed.
    assert store.messages.send(new).outcome == "repeated"
    recording = Recording(one, 1, Entry(2, "receive", ""))
    got = store.messages.receive(recording, "signal", "go")
    assert got.message is not None
    assert got.message["body"] == told("body")
    assert store.shared.set(session, tenant, "k", json.dumps(told("shared")), None).outcome == "set"
    fault = error | {"attempts": [{"attempt": 1, "message": CANARY}], "causes": [error]}
    store.hand_back(one, 1, "RETRY", error=fault, failed=True)
    store.begin(one, 2, "w")
    assert found(store, one).error == fault
    store.settle(one, 2, Ending(State.COMPLETED, result=json.dumps(told("result")), error=fault))
    return one


def _again(new: NewMessage) -> NewMessage:
    return replace(new, id=new_id("default"), name=None)


def everything(sql: psycopg.Connection) -> str:
    """All rows of all tables, as text."""
    return "\n".join(
        str(row)
        for table in metadata.tables
        for row in sql.execute(f"SELECT {table}::text FROM {table}".encode())
    )


def payloads(store: Store, one: str) -> list[Any]:
    """All that can be read of it."""
    instance = found(store, one)
    steps = store.journal.load(one)
    bodies = [delivery.message.body for delivery in store.messages.of_instance(one, 9)]
    shared = store.shared.newest(instance.session, "k")
    assert shared is not None
    state = store.journal.checkpoint(one).value
    return [instance.args, instance.result, steps[0].value, *bodies, shared.value, state]


def test_nothing_readable_stands_in_the_database(secret: Deps, sql: psycopg.Connection) -> None:
    one = lived(secret)
    names = ("args", "result", "step", "body", "body", "shared", "state")
    assert payloads(secret.store, one) == [told(name) for name in names]
    steps = secret.store.journal.load(one)
    assert steps[1].error == {"type": "E", "message": CANARY, "traceback": CANARY}
    assert steps[2].value["message"]["body"] == told("body")
    progress = found(secret.store, one).progress
    assert progress is not None
    assert progress["message"] == CANARY
    assert CANARY not in everything(sql)


def test_the_check_would_find_it(deps: Deps, sql: psycopg.Connection) -> None:
    lived(deps)
    assert everything(sql).count(CANARY) > 10


def test_what_was_written_before_the_key_is_read_beside_what_came_after(
    deps: Deps, secret: Deps
) -> None:
    before, after = lived(deps, "one"), lived(secret, "two")
    assert payloads(secret.store, before) == payloads(secret.store, after)


def test_without_the_key_it_is_said_what_is_missing(deps: Deps, secret: Deps) -> None:
    one = lived(secret)
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_ENCRYPTION_KEY"):
        deps.store.get(one)


def test_a_session_is_erased_and_no_other(secret: Deps, sql: psycopg.Connection) -> None:
    one, other = lived(secret, "one"), lived(secret, "two")
    kept = payloads(secret.store, other)
    seal.run_once(secret)
    erase(secret, None, "one", "me")
    assert payloads(secret.store, one) == [ERASED] * 7
    assert payloads(secret.store, other) == kept
    with pytest.raises(PayloadErased, match=one):
        result_of(found(secret.store, one))
    # What happened can be told still, and that it was erased.
    note = secret.store.events(one)[-1]
    assert (note.kind, note.detail) == ("erased", {"by": "me", "scope": "session"})
    seal.run_once(secret)
    assert audit.verify(secret).is_intact


def test_destroyed_keys_make_copies_unreadable_too(secret: Deps, sql: psycopg.Connection) -> None:
    one = lived(secret)
    sql.execute("CREATE TEMP TABLE backup AS SELECT args FROM instances")
    erase(secret, "default", None, "me")
    row = sql.execute("SELECT args FROM backup").fetchone()
    assert row is not None
    assert is_sealed(row[0])
    assert secret.store.database.vault is not None
    assert secret.store.database.vault.open(row[0]) == ERASED
    assert sql.execute("SELECT wrapped FROM payload_keys").fetchall() == [(None,), (None,)]
    assert found(secret.store, one).args == ERASED


def test_an_erased_session_goes_on_with_a_new_key(secret: Deps) -> None:
    old = lived(secret)
    erase(secret, None, "s", "me")
    new = lived(secret)
    assert found(secret.store, new).result == told("result")
    assert found(secret.store, old).result == ERASED


def test_without_keys_payloads_are_overwritten(deps: Deps, sql: psycopg.Connection) -> None:
    one, other = lived(deps, "one"), lived(deps, "two", "theirs")
    erase(deps, "default", None, "me")
    assert payloads(deps.store, one) == [ERASED] * 7
    assert found(deps.store, other).result == told("result")
    error = found(deps.store, one).error
    assert error is not None
    assert (error["type"], error["message"]) == ("E", "erased")


@pytest.mark.parametrize(
    "change", ["value = '1'", "value = NULL", "value = '{\"$erased\": true}', key = 'other'"]
)
def test_a_version_can_be_erased_and_not_otherwise_changed(
    deps: Deps, sql: psycopg.Connection, change: str
) -> None:
    lived(deps)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        sql.execute(f"UPDATE shared_values SET {change}".encode())


def test_what_lives_is_not_erased(secret: Deps) -> None:
    spawn(secret, SpawnRequest("echo", told("args"), session="s"))
    with pytest.raises(InvalidRequest, match="1 instances of the session 's' have not ended"):
        erase(secret, None, "s", "me")


def test_a_new_master_key_replaces_an_old_one(settings: Settings, secret: Deps) -> None:
    one = lived(secret)
    both, new = with_keys(settings, TWO, ONE), with_keys(settings, TWO)
    try:
        with pytest.raises(ConfigurationError, match="master key"):
            found(new.store, one)
        assert both.store.database.vault is not None
        assert both.store.database.vault.rotate() == 1
        assert both.store.database.vault.rotate() == 0
        assert found(new.store, one).result == told("result")
    finally:
        bootstrap.close(both)
        bootstrap.close(new)


def test_keys_cannot_be_exchanged_between_tenants(secret: Deps, sql: psycopg.Connection) -> None:
    one = lived(secret, "one", "a")
    lived(secret, "two", "b")
    sql.execute(
        "UPDATE payload_keys SET wrapped = (SELECT wrapped FROM payload_keys "
        "WHERE tenant = 'b' AND session = '') WHERE tenant = 'a' AND session = ''"
    )
    with pytest.raises(ConfigurationError, match="cannot be unwrapped"):
        found(secret.store, one)


@pytest.mark.parametrize("key", ["short", ONE[:-8], "ü" * 44])
def test_a_wrong_key_is_refused_without_being_told(settings: Settings, key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        with_keys(settings, key)
    assert key not in str(refused.value)


def test_what_a_worker_keeps_in_a_file_is_sealed_too() -> None:
    one, two = base64.b64decode(ONE), base64.b64decode(TWO)
    kept = vaults.FileSeal([one]).close("acme", CANARY)
    assert CANARY not in kept
    assert vaults.FileSeal([two, one]).open("acme", kept) == CANARY
    with pytest.raises(ConfigurationError, match="needs the master key"):
        vaults.FileSeal([two]).open("acme", kept)
    with pytest.raises(ConfigurationError, match="cannot be unwrapped"):
        vaults.FileSeal([one]).open("other", kept)


def test_a_secret_that_is_wrong_is_not_told() -> None:
    with pytest.raises(ConfigurationError, match=r"http_callback_secret = \*\*\*") as refused:
        Settings.load(http_callback_secret="too-short")
    assert "too-short" not in str(refused.value)

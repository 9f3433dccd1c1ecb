"""Each technology has one home, and each floor imports only floors below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.admission.keys import KEYS
from tests.architecture.sources import PACKAGES, ROOT, calls, inside, name_of, python_files, texts

FILES = python_files(*PACKAGES)
each_file = pytest.mark.parametrize("path", FILES, ids=name_of)


def test_the_contracts_between_the_floors_hold() -> None:
    """In a process of its own: the linter imports the packages its own way."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


#: The beginning of a statement, with its next word where one word alone is plain English.
_SQL = re.compile(
    r"\b(SELECT\s|INSERT INTO|UPDATE \w+\s+SET|DELETE FROM|CREATE (TABLE|INDEX|FUNCTION|TRIGGER)"
    r"|ALTER TABLE|DROP TABLE|TRUNCATE|LISTEN |NOTIFY |WITH RECURSIVE|pg_\w+\()"
)
SQL_HOMES = ("orchestrator/store", "migrations")
#: Asks a server that it starts whether it answers, and makes the database it is asked for.
SQL_EXCEPTIONS = ("orchestrator/devstack/postgres.py",)


@each_file
def test_sql_is_only_in_the_store(path: Path) -> None:
    if not inside(path, *SQL_HOMES, *SQL_EXCEPTIONS):
        assert [found for found in texts(path) if _SQL.search(found[1])] == []


def test_the_search_for_sql_finds_some() -> None:
    homes = [path for path in FILES if inside(path, *SQL_HOMES)]
    assert any(_SQL.search(text) for path in homes for _, text in texts(path))


#: Parts of keys; those that are no words of the language would be a key built by hand.
_KEY = re.compile("|".join(re.escape(part) for part in KEYS.values() if len(part) > 2))
GATE = ("orchestrator/admission",)

#: What is called on a client of Redis, and who may: the gate; besides it those who read.
_REDIS_CALL = re.compile(r"(^|\.)redis\.(?!Redis|RedisError|ConnectionError|ResponseError)\w+$")
REDIS_READERS = (
    "orchestrator/cli/doctor.py",  # reads settings of the server
    "orchestrator/transport/notify.py",  # pub/sub
    "orchestrator/devstack/valkey.py",  # asks the server it starts whether it answers
    "workers/redis_broker.py",  # kombu's transport
)


@each_file
def test_keys_are_only_in_the_gate(path: Path) -> None:
    if not inside(path, *GATE):
        assert [found for found in texts(path) if _KEY.search(found[1])] == []


@each_file
def test_redis_is_only_called_by_the_gate(path: Path) -> None:
    if not inside(path, *GATE, *REDIS_READERS):
        assert [found for found in calls(path) if _REDIS_CALL.search(found[1])] == []


@each_file
def test_redis_is_only_imported_by_those_who_may_call_it(path: Path) -> None:
    if not inside(path, *GATE, *REDIS_READERS):
        imports = re.compile(r"^\s*(?:from|import) redis\b", re.MULTILINE)
        assert imports.findall(path.read_text()) == []


@each_file
def test_celery_is_only_known_to_workers_and_transport(path: Path) -> None:
    if not inside(path, "workers", "orchestrator/transport"):
        imports = re.compile(r"^\s*(?:from|import) (celery|kombu|billiard)\b", re.MULTILINE)
        assert imports.findall(path.read_text()) == []


def test_lua_names_every_key_by_its_name() -> None:
    """A script that builds a key by hand would leave the hash tag, or the table of keys."""
    by_hand = re.compile(r"KEYS\[|'\{|\"\{|'[^']*orchestrator[^']*'")
    for path in sorted((ROOT / "orchestrator/admission/lua").rglob("*.lua")):
        code = re.sub(r"--.*", "", path.read_text())
        assert by_hand.findall(code) == [], name_of(path)
        used = set(re.findall(r"\bkey\.(\w+)", code))
        assert used <= set(KEYS), name_of(path)


def test_every_key_is_used() -> None:
    lua = "".join(path.read_text() for path in (ROOT / "orchestrator/admission/lua").rglob("*.lua"))
    python = "".join(path.read_text() for path in FILES)
    unused = [
        name
        for name in KEYS
        if f"key.{name}" not in lua and f"key[{name}]" not in lua and f'"{name}"' not in python
    ]
    assert unused == []

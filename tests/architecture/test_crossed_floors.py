"""Each technology has one home, and each floor imports only floors below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.admission.keys import KEYS
from tests.architecture.sources import PACKAGES, ROOT, calls, inside, name_of, python_files, texts

FILES = python_files(*PACKAGES)
LUA = sorted((ROOT / "orchestrator/admission/lua").rglob("*.lua"))

Lines = Callable[[Path], Iterable[tuple[int, str]]]


def outside(homes: tuple[str, ...], lines: Lines, pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern is found in files that are not among its homes."""
    return list(_found([path for path in FILES if not inside(path, *homes)], lines, pattern))


def _found(paths: Iterable[Path], lines: Lines, pattern: re.Pattern[str]) -> Iterator[str]:
    for path in paths:
        for line, text in lines(path):
            if pattern.search(text):
                yield f"{name_of(path)}:{line}: {text[:60]}"


def source_lines(path: Path) -> Iterable[tuple[int, str]]:
    """Every line with its number."""
    return enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)


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
    assert " 0 broken" in done.stdout


#: The beginning of a statement, with its next word where one word alone is plain English.
SQL = re.compile(
    r"\b(SELECT\s|INSERT INTO|UPDATE \w+\s+SET|DELETE FROM|CREATE (TABLE|INDEX|FUNCTION|TRIGGER)"
    r"|ALTER TABLE|DROP TABLE|TRUNCATE|LISTEN |NOTIFY |WITH RECURSIVE|pg_\w+\()"
)
SQL_HOMES = ("orchestrator/store", "migrations")
#: Asks a server that it starts whether it answers, and makes the database it is asked for.
SQL_EXCEPTIONS = ("orchestrator/devstack/postgres.py",)


def test_sql_is_only_in_the_store() -> None:
    assert outside((*SQL_HOMES, *SQL_EXCEPTIONS), texts, SQL) == []
    assert outside((), texts, SQL), "the search finds nothing at all"


#: Parts of keys that are no words of any language: a key built by hand.
KEY = re.compile("|".join(re.escape(part) for part in KEYS.values() if len(part) > 2))
GATE = ("orchestrator/admission",)

#: What is called on a client of Redis.
REDIS_CALL = re.compile(r"(^|\.)redis\.[a-z]\w*$")
REDIS_IMPORT = re.compile(r"^\s*(?:from|import) redis\b")
#: Who may besides the gate, and for what.
REDIS_READERS = (
    "orchestrator/cli/doctor.py",  # reads settings of the server
    "orchestrator/transport/notify.py",  # pub/sub
    "orchestrator/devstack/valkey.py",  # asks the server it starts whether it answers
    "workers/redis_broker.py",  # kombu's transport
)


def test_keys_are_only_in_the_gate() -> None:
    assert outside(GATE, texts, KEY) == []
    assert outside((), texts, KEY), "the search finds nothing at all"


def test_redis_is_only_called_by_the_gate_and_its_readers() -> None:
    for lines, pattern in ((calls, REDIS_CALL), (source_lines, REDIS_IMPORT)):
        assert outside((*GATE, *REDIS_READERS), lines, pattern) == []
        assert outside((), lines, pattern), "the search finds nothing at all"


def test_celery_is_only_known_to_workers_and_transport() -> None:
    imports = re.compile(r"^\s*(?:from|import) (celery|kombu|billiard)\b")
    assert outside(("workers", "orchestrator/transport"), source_lines, imports) == []
    assert outside((), source_lines, imports), "the search finds nothing at all"


def test_lua_builds_no_key_by_hand() -> None:
    """It would leave the hash tag, or the table of keys."""
    by_hand = re.compile(r"KEYS\[|'\{|\"\{|'[^']*orchestrator[^']*'")
    for path in LUA:
        code = re.sub(r"--.*", "", path.read_text())
        assert by_hand.findall(code) == [], name_of(path)
        assert set(re.findall(r"\bkey\.(\w+)", code)) <= set(KEYS), name_of(path)


def test_every_key_is_used() -> None:
    lua = "".join(path.read_text() for path in LUA)
    python = "".join(path.read_text() for path in FILES)
    unused = [
        name for name in KEYS if not re.search(rf"key\.{name}\b", lua) and f'"{name}"' not in python
    ]
    assert unused == []

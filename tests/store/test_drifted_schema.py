"""Migrations go up and down again, and end in the schema that the code knows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator.domain.errors import SchemaOutdated
from orchestrator.domain.lifecycle import STORED
from orchestrator.store import migrate
from orchestrator.store.schema import metadata

#: The parts of the audit trail, which are made as months come, are what the whole is.
NO_PART = "NOT (SELECT relispartition FROM pg_class WHERE oid = {}::regclass)"

#: Every object of ours, as PostgreSQL writes it down. Alembic's own table is not ours.
CATALOGUE = {
    "columns": f"""
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity,
               identity_generation
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version'
          AND {NO_PART.format("table_name")}""",
    "constraints": f"""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
          AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
          AND conrelid <> 0 AND {NO_PART.format("conrelid")}""",
    "indexes": f"""
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
          AND {NO_PART.format("tablename")}""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "others": """
        SELECT relkind, relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')
          AND NOT relispartition
        UNION ALL
        SELECT typtype, typname FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')""",
}
#: What metadata can say; the rest stands in the migrations alone.
OF_METADATA = ("columns", "constraints", "indexes", "others")


def catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        return {
            name: sorted(connection.execute(query.encode()).fetchall(), key=str)
            for name, query in CATALOGUE.items()
        }


def revisions() -> list[str]:
    """All revisions, oldest first."""
    scripts = ScriptDirectory.from_config(migrate._config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def test_every_migration_goes_up_down_and_up_again(blank_url: str) -> None:
    nothing = catalogue(blank_url)
    assert not any(nothing.values())
    for revision in revisions():
        before = catalogue(blank_url)
        assert migrate.upgrade(blank_url, revision) == revision
        after = catalogue(blank_url)
        migrate.downgrade(blank_url, "-1")
        assert catalogue(blank_url) == before
        migrate.upgrade(blank_url, revision)
        assert catalogue(blank_url) == after
    assert migrate.current(blank_url) == migrate.head()
    assert migrate.downgrade(blank_url, "base") == "base"
    assert catalogue(blank_url) == nothing
    assert migrate.current(blank_url) is None


def test_alembic_finds_no_difference(database_url: str) -> None:
    with migrate.connect(database_url) as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            # Parts of the audit trail are made as months come.
            "include_name": lambda name, kind, _: kind != "table" or name[:7] != "events_",
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_both_ways_make_the_same_tables(blank_url: str, other_blank_url: str) -> None:
    """Also what alembic does not compare: check constraints, partial indexes, identities."""
    migrate.upgrade(blank_url)
    with migrate.connect(other_blank_url) as connection:
        metadata.create_all(connection)
        connection.commit()
    found, expected = catalogue(blank_url), catalogue(other_blank_url)
    for name in OF_METADATA:
        assert found[name] == expected[name], name


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    before = catalogue(database_url)
    assert migrate.upgrade(database_url) == migrate.head()
    assert catalogue(database_url) == before


def test_several_may_migrate_at_once(blank_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        reached = list(threads.map(migrate.upgrade, [blank_url] * 4))
    assert reached == [migrate.head()] * 4


def test_an_unmigrated_database_is_named_as_such(blank_url: str) -> None:
    assert migrate.current(blank_url) is None
    with pytest.raises(SchemaOutdated, match=r"at nothing.*orchestrator migrate"):
        migrate.require_current(blank_url)


def test_a_database_that_lacks_a_migration_is_named_as_such(blank_url: str) -> None:
    migrate.upgrade(blank_url)
    migrate.require_current(blank_url)
    migrate.downgrade(blank_url, "-1")
    before = migrate.current(blank_url)
    with pytest.raises(SchemaOutdated, match=f"at {before}, needed is {migrate.head()}"):
        migrate.require_current(blank_url)


def test_a_database_of_a_later_version_serves_this_one(blank_url: str) -> None:
    """A release migrates first: until their turn comes, processes of before have to start."""
    migrate.upgrade(blank_url)
    with migrate.connect(blank_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'future'"))
        connection.commit()
    migrate.require_current(blank_url)


def test_the_state_column_holds_what_the_lifecycle_stores(sql: psycopg.Connection) -> None:
    row = sql.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
        ("instances_state_check",),
    ).fetchone()
    assert row is not None
    assert set(row[0].split("'")[1::2]) == set(STORED)

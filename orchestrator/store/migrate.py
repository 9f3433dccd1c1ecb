"""Bringing the schema up to date, and asking whether it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from orchestrator.domain.errors import InvalidRequest, SchemaOutdated
from orchestrator.store.away import unavailable
from orchestrator.store.database import to_libpq

log = logging.getLogger("orchestrator.migrate")

#: Any constant serves: two that migrate at the same time wait for each other on it.
_LOCK = 0x6F726368


def upgrade(url: str, revision: str = "head") -> str:
    """Apply all missing migrations; answers the revision the database is at afterwards."""
    return _run(url, command.upgrade, revision)


def downgrade(url: str, revision: str) -> str:
    """Take migrations back until `revision`; `base` empties the database."""
    return _run(url, command.downgrade, revision)


def current(url: str) -> str | None:
    """The revision of the database, or None when it was never migrated."""
    with connect(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision this version of the code needs."""
    return cast(str, ScriptDirectory.from_config(_config()).get_current_head())


def require_current(url: str) -> None:
    """Raise `SchemaOutdated` if the database lacks migrations of this version.

    One that has more than this version knows is fine: a release migrates first and then replaces
    its processes, and migrations only add what older code does not ask for.
    """
    found = current(url)
    if found == head():
        return
    if found is None or found in _known():
        raise SchemaOutdated(f"it is at {found or 'nothing'}, needed is {head()}")
    log.warning("schema.newer: at %s, this version knows %s", found, head())


def _known() -> set[str]:
    """The revisions that this version has heard of."""
    return {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}


@contextmanager
def connect(url: str) -> Iterator[sa.Connection]:
    """A connection of its own, outside any pool."""
    # By libpq's own reading of the URL: SQLAlchemy's knows only one host.
    engine = sa.create_engine(
        "postgresql+psycopg://",
        poolclass=sa.NullPool,
        creator=lambda: psycopg.connect(to_libpq(url), connect_timeout=5),
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        raise unavailable(cast(Exception, error.orig)) from error
    finally:
        engine.dispose()


def _run(url: str, action: Callable[[Config, str], None], revision: str) -> str:
    with connect(url) as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        try:
            action(config, revision)
        except CommandError as error:
            raise InvalidRequest(
                "UNKNOWN_REVISION", f"The schema cannot be taken to {revision!r}: {error}."
            ) from None
        connection.commit()
        return MigrationContext.configure(connection).get_current_revision() or "base"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("path_separator", "os")
    return config

"""What a role needs that services, workers and beats connect as, and nothing more."""

from __future__ import annotations

import psycopg
from psycopg import sql

from orchestrator.domain.errors import InvalidRequest
from orchestrator.store.away import unavailable
from orchestrator.store.database import to_libpq
from orchestrator.store.migrate import require_current
from orchestrator.store.schema import metadata
from orchestrator.store.statements import statement

#: Tables to which rows are added, and no more.
APPEND_ONLY = frozenset({"events", "audit_seals", "limits"})
#: They run with the rights of the owner, and check what they are asked.
FUNCTIONS = ("make_event_parts(integer)", "drop_event_part(text)")


def grant(url: str, role: str) -> None:
    """Give an existing role what it needs on the tables of this version, and take back the rest.

    `url` is of the owner of the tables. To be repeated after each migration.
    """
    require_current(url)
    try:
        with psycopg.connect(to_libpq(url), connect_timeout=5) as connection:
            schema = _check(connection, role)
            for one in _grants(sql.Identifier(role), sql.Identifier(schema)):
                connection.execute(one)
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def _check(connection: psycopg.Connection, role: str) -> str:
    """The schema that the tables are in."""
    row = connection.execute(statement("role_powers"), {"role": role}).fetchone()
    if row is None:
        raise InvalidRequest(
            "UNKNOWN_ROLE",
            f"There is no role {role!r} in this database. Make it first: "
            f"CREATE ROLE {role} LOGIN PASSWORD '...'.",
        )
    if row[0]:
        raise InvalidRequest(
            "UNSAFE_ROLE",
            f"The role {role!r} is a superuser, or may act as the owner of the tables: nothing "
            "that is granted or not granted binds it. Use another one.",
        )
    return str(row[1])


def _grants(role: sql.Identifier, schema: sql.Identifier) -> list[sql.Composed]:
    """In one transaction: at no moment is there less than it had."""
    found = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}"),
        sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"),
        sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}"),
        sql.SQL("GRANT SELECT ON alembic_version TO {role}"),
    ]
    for name in sorted(metadata.tables):
        rights = "SELECT, INSERT" if name in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
        found.append(sql.SQL(f"GRANT {rights} ON {name} TO {{role}}"))
    found += [sql.SQL(f"GRANT EXECUTE ON FUNCTION {name} TO {{role}}") for name in FUNCTIONS]
    return [one.format(role=role, schema=schema) for one in found]

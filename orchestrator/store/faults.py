"""What went wrong in PostgreSQL, in our words."""

from __future__ import annotations

from psycopg import errors as pg_errors
from sqlalchemy import exc as sa_exc

from orchestrator.domain.errors import InvalidSpawn, SchemaOutdated
from orchestrator.domain.instance import NewInstance
from orchestrator.store.away import unavailable

#: SQLSTATEs (PostgreSQL documentation, appendix A).
FOREIGN_KEY_VIOLATION, UNDEFINED_TABLE = "23503", "42P01"


class tenant_guard:  # noqa: N801  # reads as a statement where it is used
    """A foreign key that fails while recording can only be that of the session's tenant."""

    def __init__(self, *news: NewInstance) -> None:
        self._news = news

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pg_errors.ForeignKeyViolation):
            detail = error.diag.message_detail or ""
            fitting = (new for new in self._news if f"({new.session}, {new.tenant})" in detail)
            raise another_tenant(next(fitting, self._news[0])) from error


def callers_fault(new: NewInstance, error: sa_exc.DBAPIError) -> Exception:
    """What went wrong on a caller's connection, whatever driver it has, in our words."""
    original = error.orig or error
    code = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    if code == FOREIGN_KEY_VIOLATION:
        return another_tenant(new)
    if code == UNDEFINED_TABLE:
        return SchemaOutdated(str(original).splitlines()[0])
    return unavailable(original) if isinstance(error, sa_exc.OperationalError) else error


def another_tenant(new: NewInstance) -> InvalidSpawn:
    """The refusal of a session that is not this tenant's."""
    return InvalidSpawn(
        "SESSION_OF_ANOTHER_TENANT",
        f"The session {new.session!r} belongs to another tenant than {new.tenant!r}. "
        "Use a session of your own, or leave it out to open a new one.",
    )

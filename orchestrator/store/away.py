"""What PostgreSQL says when it cannot serve us, as errors that callers can act on."""

from __future__ import annotations

from psycopg import errors as pg_errors

from orchestrator.domain.errors import StoreUnavailable

_TRY = (
    "Check ORCHESTRATOR_DATABASE_URL and `orchestrator doctor`, or start the embedded stack with "
    "`orchestrator dev`."
)
_MORE_CONNECTIONS = (
    "Raise max_connections of the server, put a pooler before it, or run fewer processes: a worker "
    "takes up to 20 connections, any other process up to 10."
)
#: Refused logins carry no code, only words.
_FULL_HOUSE = ("too many clients", "connection slots are reserved", "too many connections")
_STARTING = ("starting up", "shutting down", "in recovery mode", "not yet accepting")


def unavailable(error: Exception) -> StoreUnavailable:
    """The error as what a caller can act on; repeating the same call may help in all cases."""
    said = str(error).strip() or type(error).__name__
    if isinstance(error, pg_errors.DiskFull):
        return StoreUnavailable(
            "STORE_FULL", f"PostgreSQL has no disk space left: {said}. Make room there."
        )
    if isinstance(error, pg_errors.TooManyConnections) or _is_among(_FULL_HOUSE, said):
        return StoreUnavailable(
            "STORE_OUT_OF_CONNECTIONS",
            f"PostgreSQL takes no more connections: {said}. {_MORE_CONNECTIONS}",
        )
    if isinstance(error, pg_errors.ReadOnlySqlTransaction):
        return StoreUnavailable(
            "STORE_READ_ONLY",
            f"PostgreSQL takes no writes: {said}. This is a standby, for a moment after a "
            "failover, or for good where the URL names one: with several hosts in "
            "ORCHESTRATOR_DATABASE_URL add target_session_attrs=read-write.",
        )
    if isinstance(error, pg_errors.CannotConnectNow) or _is_among(_STARTING, said):
        return StoreUnavailable(
            "STORE_STARTING", f"PostgreSQL is not ready: {said}. Repeat in a few seconds."
        )
    if isinstance(error, pg_errors.QueryCanceled):
        return StoreUnavailable(
            "STORE_SLOW",
            f"PostgreSQL took too long: {said}. It is overloaded, or "
            "ORCHESTRATOR_STATEMENT_TIMEOUT too short for what was asked.",
        )
    return StoreUnavailable("STORE_UNAVAILABLE", f"PostgreSQL does not answer: {said}. {_TRY}")


def all_in_use(connections: int, seconds: float) -> StoreUnavailable:
    """The server answers, but this process has no connection to spare."""
    return StoreUnavailable(
        "STORE_BUSY",
        f"All {connections} connections of this process to PostgreSQL were in use for "
        f"{seconds:g} s. Statements take long, or too many threads ask at once: repeat later.",
    )


def just_back() -> StoreUnavailable:
    """It answers, and this process is about to be connected again."""
    return StoreUnavailable(
        "STORE_STARTING", "PostgreSQL has just come back. Repeat in a few seconds."
    )


def _is_among(words: tuple[str, ...], said: str) -> bool:
    return any(one in said for one in words)

"""Logs: one line an event, with fields, through Python's own logging. No payloads.

In a service our loggers are ordinary ones below `orchestrator`: they say what that service's
configuration lets them say, and nothing below a warning without one. The commands of this
package call `configure`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, cast

import structlog

Fields = MutableMapping[str, Any]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event and fields: `log.info("gate.rebuilt", instances=3)`."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _to_record,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return cast(structlog.stdlib.BoundLogger, logger)


def about(**fields: object) -> AbstractContextManager[object]:
    """While inside, every line of this thread has these fields too, whoever writes it."""
    return structlog.contextvars.bound_contextvars(**fields)


def configure(level: str = "INFO", *, as_json: bool | None = None) -> None:
    """Set up logging for this process, on standard error.

    `as_json` defaults to whether standard error is no terminal.
    """
    handler = logging.StreamHandler(sys.stderr)
    if not sys.stderr.isatty() if as_json is None else as_json:
        handler.setFormatter(JSONFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    ours = logging.getLogger("orchestrator")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(level.upper())
    # What it has to say about a server that is away, our own errors say better.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class JSONFormatter(logging.Formatter):
    """One JSON object a line: the fields, then event, level and timestamp."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; values that are not JSON stand as text."""
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        fields["event"] = getattr(record, "event", record.getMessage())
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        fields["level"] = record.levelname.lower()
        fields["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        return json.dumps(fields, default=str, ensure_ascii=False)


def _to_record(
    _logger: Any, _method: str, fields: Fields
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Readable text for everybody, and the fields for formatters that know them."""
    event = str(fields.pop("event"))
    exc_info = fields.pop("exc_info", None)
    text = "".join(f" {name}={value}" for name, value in fields.items())
    extra = {"event": event, "fields": fields}
    # A percent sign in a text without arguments is just that.
    return (event + text,), {"exc_info": exc_info, "extra": extra}

"""What a program writes: messages on stdout, one a line, or a single JSON value; and its stderr."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from orchestrator.domain.failure import storable
from orchestrator.domain.instance import Instance
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.program")

Message = dict[str, Any]

#: Characters of a line of stderr that are logged, and bytes of its end that are kept.
LONGEST_LINE = 1_000
KEPT = 4_000
#: Lines of stderr that are logged at once, and then each second; the rest is only counted.
BURST, PER_SECOND = 200, 20.0
#: Bytes that a message may have around its payload.
AROUND = 4_096


class InvalidOutput(Exception):
    """What a program wrote on stdout is neither messages nor one JSON value."""


class Output:
    """Takes stdout apart, a chunk at a time.

    A line that holds a JSON object with a `type` is a message. If the first line is none, all of
    stdout is one JSON value, the result.
    """

    def __init__(self, max_bytes: int) -> None:
        # One byte of text may be written as six: \u0001.
        self._most = 6 * max_bytes + AROUND
        self._rest = bytearray()
        #: None until the first line has shown it
        self._speaks: bool | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that this chunk completes. Raises `InvalidOutput`."""
        found = []
        self._rest += data
        while self._has_lines() and (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[: end + 1])
            if message := self._read(line):
                found.append(message)
            if self._has_lines():
                del self._rest[: end + 1]
        if len(self._rest) > self._most:
            raise InvalidOutput(
                f"It wrote more than {self._most:,} bytes on stdout without a message or an end. "
                "Write notes to stderr; store large data elsewhere."
            )
        return found

    def end(self) -> list[Message]:
        """What the end of stdout completes; a single value counts as a `result` message."""
        if self._has_lines() and self._rest.strip():
            message = self._read(bytes(self._rest))
            if message is not None:
                return [message]
        if self._speaks is False:
            return [{"type": "result", "value": _value(bytes(self._rest))}]
        return []

    def _has_lines(self) -> bool:
        return self._speaks is not False

    def _read(self, line: bytes) -> Message | None:
        if not line.strip():
            return None
        message = _message(line)
        if message is None and self._speaks:
            raise InvalidOutput(
                f"After messages it wrote a line that is none: {_shown(line)}. Write notes to "
                "stderr."
            )
        self._speaks = message is not None
        return message


def _message(line: bytes) -> Message | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_message = isinstance(value, dict) and isinstance(value.get("type"), str)
    return value if is_message else None


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidOutput(
            f"What it wrote on stdout is not JSON ({error}): {_shown(text)}. Write the result as "
            "one JSON value, and notes to stderr."
        ) from None


def _shown(text: bytes) -> str:
    start = storable(text[:200].decode(errors="replace").strip())
    return repr(start) if len(text) <= 200 else f"{start!r}..."


class Notes:
    """What a program writes on stderr: into the log, so many lines a second; its end is kept."""

    def __init__(self, instance: Instance) -> None:
        self._log = log.bind(agent=instance.agent, instance=instance.id, session=instance.session)
        self._rest = b""
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._allowed, self._seen_at = float(BURST), time.monotonic()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take in a chunk."""
        self._keep(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._note(line)
        if len(self._rest) > 4 * LONGEST_LINE:  # a line without an end
            self._note(self._rest)
            self._rest = b""

    def end(self) -> str:
        """Log what is left, and answer the last of it all."""
        if self._rest:
            self._note(self._rest)
            self._rest = b""
        if self._dropped:
            self._log.warning("program.stderr_dropped", lines=self._dropped)
        return storable(b"".join(self._kept)[-KEPT:].decode(errors="replace"))

    def _keep(self, data: bytes) -> None:
        self._kept.append(data)
        self._kept_bytes += len(data)
        while self._kept_bytes - len(self._kept[0]) >= KEPT:
            self._kept_bytes -= len(self._kept.popleft())

    def _note(self, line: bytes) -> None:
        now = time.monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._seen_at) * PER_SECOND)
        self._seen_at = now
        if self._allowed < 1:
            self._dropped += 1
            return
        self._allowed -= 1
        if text := storable(line[: 4 * LONGEST_LINE].decode(errors="replace").rstrip()):
            self._log.info("program.stderr", text=text[:LONGEST_LINE])

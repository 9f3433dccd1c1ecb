"""Endings that PostgreSQL could not be told of, in files that outlive the worker.

    <state_dir>/endings/<worker>.jsonl

One file per worker process, made when it is first needed, held by a lock of the kernel (`flock`)
as long as the process lives. Each line is one ending, or says which one is written by now. A
worker looks for files whose process is gone, and settles what is in them; the fence of each
attempt decides whether it may still be.

A line is synced to disk before it counts. A file is readable by its owner only, and bounded.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason
from orchestrator.engine.execute import Completed, Failed, Outcome
from orchestrator.engine.running import Run
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.shelf")

#: Bytes that one worker keeps at most. What is beyond it is done again if the worker dies.
MOST_BYTES = 64 * 2**20


class Seal(Protocol):
    """Makes text unreadable for others than the tenant, and readable again."""

    def close(self, tenant: str, text: str) -> str:
        """The sealed text; may hold no line breaks."""

    def open(self, tenant: str, text: str) -> str:
        """The text that was sealed."""


class Unsealed:
    """Leaves text as it is: whoever may read the file could read the worker's memory."""

    def close(self, tenant: str, text: str) -> str:
        """The text."""
        return text

    def open(self, tenant: str, text: str) -> str:
        """The text."""
        return text


@dataclass(frozen=True)
class Shelved:
    """An ending that was found."""

    instance_id: str
    attempt: int
    outcome: Outcome


def folder_in(state_dir: Path) -> Path:
    """Where the endings of all workers with this `state_dir` are."""
    return state_dir / "endings"


class FileShelf:
    """The shelf of this process. Safe to share between threads."""

    def __init__(self, folder: Path, worker: str, seal: Seal | None = None) -> None:
        self._path = folder / f"{worker}.jsonl"
        self._seal = seal or Unsealed()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._kept: set[tuple[str, int]] = set()
        self._size = 0

    def put(self, run: Run, outcome: Outcome) -> bool:
        """Keep a result or a failure, once. What else an attempt can end with it does again."""
        if not isinstance(outcome, Completed | Failed):
            return False
        with self._lock:
            if (run.id, run.attempt) in self._kept:
                return True
            try:
                return self._put(run, outcome)
            except OSError as error:
                log.error("ending.not_shelved", instance=run.id, error=str(error))
                return False

    def take_off(self, run: Run) -> None:
        """This ending needs no keeping any more."""
        with self._lock:
            if (run.id, run.attempt) not in self._kept:
                return
            self._kept.discard((run.id, run.attempt))
            assert self._file is not None
            try:
                if self._kept:
                    self._append({"id": run.id, "attempt": run.attempt, "written": True})
                else:
                    os.ftruncate(self._file, 0)
                    self._size = 0
            except OSError as error:
                # It is settled once more, and its fence says no.
                log.warning("ending.not_taken_off", instance=run.id, error=str(error))

    def close(self) -> None:
        """Let others have the file; an empty one is removed."""
        with self._lock:
            if self._file is not None:
                if not self._kept:
                    self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    def _put(self, run: Run, outcome: Completed | Failed) -> bool:
        tenant = run.instance.tenant
        text = self._seal.close(tenant, json.dumps(_to_json(outcome)))
        line = {"id": run.id, "attempt": run.attempt, "tenant": tenant, "outcome": text}
        if self._size + len(text) > MOST_BYTES:
            log.error("ending.not_shelved", instance=run.id, error="the file is full")
            return False
        self._append(line)
        assert self._file is not None
        os.fsync(self._file)
        self._kept.add((run.id, run.attempt))
        return True

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._make()
        data = json.dumps(line).encode() + b"\n"
        # One write, so that a crash leaves at most one broken line, the last.
        written = os.write(self._file, data)
        self._size += written
        if written < len(data):
            raise OSError("the disk is full")

    def _make(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file


@contextmanager
def abandoned(path: Path, seal: Seal | None = None) -> Iterator[list[Shelved] | None]:
    """While inside, the endings of a dead process are the caller's; None: its process lives.

    The file is removed at the end, unless something is raised: then all stay for the next try.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        with os.fdopen(os.dup(file), "rb") as lines:
            found = _read(lines.read(), seal or Unsealed())
        yield found
        path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _read(text: bytes, seal: Seal) -> list[Shelved]:
    found: dict[tuple[str, int], Shelved] = {}
    for line in text.splitlines():
        try:
            one = json.loads(line)
            key = (one["id"], one["attempt"])
            if one.get("written"):
                found.pop(key, None)
                continue
            outcome = _from_json(json.loads(seal.open(one["tenant"], one["outcome"])))
            found[key] = Shelved(*key, outcome)
        except Exception as error:
            # Half a line, of a worker that died while it wrote it; or one of another version.
            log.error("ending.unreadable", error=f"{type(error).__name__}: {error}")
    return list(found.values())


def _to_json(outcome: Completed | Failed) -> dict[str, Any]:
    if isinstance(outcome, Completed):
        return {"result": outcome.result}
    return asdict(outcome)


def _from_json(value: dict[str, Any]) -> Outcome:
    if "result" in value:
        return Completed(value["result"])
    rewind = value["rewind"]
    return Failed(
        Reason(value["reason"]),
        value["error"],
        retryable=value["retryable"],
        kinds=tuple(tuple(one) for one in value["kinds"]),
        rewind=rewind and Rewind(rewind["position"], tuple(rewind["children"])),
    )

"""Ends the programs of a worker that died before it could do so itself.

A worker starts one more process, the warden, when it starts its first program, and tells it the
process groups through a pipe. Whatever ends the worker, also SIGKILL, closes the pipe; then the
warden kills every group that it was told of, and ends. This file is that process too, so it
needs the standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress


class Warden:
    """The worker's end of it; may be used by all threads."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._dismiss: weakref.finalize[[int, int], Warden] | None = None
        self._pipe = -1

    def watch(self, group: int) -> None:
        """Kill this process group should this process end."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Nothing of this group is left."""
        with self._lock:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._dismiss is not None:
            with suppress(OSError):
                os.write(self._pipe, line.encode())
                return
            self._dismiss()  # somebody has killed it: another one has to be told all
        self._hire()
        everything = "".join(f"+{group}\n" for group in self._groups)
        os.write(self._pipe, everything.encode())

    def _hire(self) -> None:
        read, self._pipe = os.pipe()  # not inherited by the programs
        try:
            # In a session of its own: what is sent to the worker's group is not for it.
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", __file__],
                {"PATH": os.environ.get("PATH", os.defpath)},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        finally:
            os.close(read)
        self._dismiss = weakref.finalize(self, _dismiss, self._pipe, pid)


def _dismiss(pipe: int, pid: int) -> None:
    with suppress(OSError):
        os.close(pipe)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def watch(lines: Iterable[str]) -> None:
    """What the warden does: remember until the lines end, then kill."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)

"""A program in a process group of its own, from its start until nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from orchestrator.agents.programs import PASSED_ON, Program
from workers.runtimes.warden import Warden

#: Sets the bound, then becomes the program: `ulimit` counts KiB.
LIMITED = ("/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"')


class Group:
    """A started program. Its pipes are unblocked; reading and writing them is the caller's.

    The leader is buried last: until then its process id, and so that of the group, is nobody
    else's, and a signal to the group cannot strike strangers.
    """

    def __init__(self, program: Program, warden: Warden) -> None:
        """Start it. Raises `OSError` when there is no such program or folder."""
        self._warden = warden
        self._process = subprocess.Popen(
            _limited(program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(program.env),
            cwd=program.cwd,
            # A session is a group too, and one without a terminal.
            start_new_session=True,
        )
        self.pid = self._process.pid
        warden.watch(self.pid)
        ours = self._process
        assert ours.stdin is not None
        assert ours.stdout is not None
        assert ours.stderr is not None
        self.stdin, self.stdout = ours.stdin.fileno(), ours.stdout.fileno()
        self.stderr = ours.stderr.fileno()
        for pipe in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(pipe, False)

    def has_exited(self) -> bool:
        """Whether the leader has ended; others of the group may live on."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def tell_to_end(self) -> None:
        """Send SIGTERM to all of the group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to all of the group."""
        self._signal(signal.SIGKILL)

    def close_stdin(self) -> None:
        """Let it read the end of its input. Its number is somebody else's from now on."""
        assert self._process.stdin is not None
        self.stdin = -1
        with suppress(OSError):
            self._process.stdin.close()

    def bury(self) -> int:
        """End what is left of the group and close all pipes.

        Answers the leader's exit status, negative for the signal that ended it.
        """
        self.kill()
        self._warden.forget(self.pid)
        status = self._process.wait()
        self.close_stdin()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return status

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _limited(program: Program) -> list[str]:
    if program.memory_limit is None:
        return list(program.command)
    return [*LIMITED, str(program.memory_limit // 1024), *program.command]


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(own)

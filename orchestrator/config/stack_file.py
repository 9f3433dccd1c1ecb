"""Where a running embedded stack can be found: `<state_dir>/stack.json`.

The supervisor of the stack writes it when all is ready and removes it when it stops; commands
and scripts read it to learn the URLs. It holds passwords, so only its owner can read it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from orchestrator.domain.errors import ConfigurationError

_NAME = "stack.json"


@dataclass(frozen=True, slots=True)
class StackFile:
    """What a running stack tells about itself."""

    #: With password.
    redis_url: str = field(repr=False)
    #: With password.
    database_url: str = field(repr=False)
    #: With user and password; None when Flower was not started.
    flower_url: str | None = field(repr=False)
    #: The process that keeps the stack running. When it is gone, the file means nothing.
    supervisor_pid: int
    #: When that process began (see `birth`): process ids are used again.
    supervisor_birth: str

    @classmethod
    def of_this_process(
        cls, redis_url: str, database_url: str, flower_url: str | None = None
    ) -> Self:
        """The file of a stack that this process keeps running."""
        pid = os.getpid()
        return cls(redis_url, database_url, flower_url, pid, birth(pid) or "")

    @classmethod
    def read(cls, state_dir: Path) -> Self | None:
        """The running stack of this folder; None when none is running.

        Raises ConfigurationError when the file belongs to somebody else.
        """
        path = state_dir / _NAME
        try:
            found = cls(**json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None  # a file of another version is of a stack that is not ours
        except PermissionError:
            raise ConfigurationError(
                f"{path} belongs to another user. Run as that user, or set "
                "ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_DATABASE_URL."
            ) from None
        return found if found.is_alive else None

    def write(self, state_dir: Path) -> None:
        """Replace the folder's file in one step; readers see the old one or the new one."""
        # mkstemp makes files that only their owner can read.
        number, name = tempfile.mkstemp(prefix=f".{_NAME}.", dir=state_dir)
        with os.fdopen(number, "w") as file:
            json.dump(asdict(self), file, indent=2)
        Path(name).replace(state_dir / _NAME)

    @staticmethod
    def remove(state_dir: Path) -> None:
        """Say that the folder's stack does not run any more."""
        (state_dir / _NAME).unlink(missing_ok=True)

    @property
    def is_alive(self) -> bool:
        """True while the process that wrote the file lives."""
        return birth(self.supervisor_pid) == self.supervisor_birth


def birth(pid: int) -> str | None:
    """When a process began, as a word that differs for each who had this id; None if it is gone.

    Where there is no /proc the word is empty for every living process.
    """
    if sys.platform != "linux":
        return _birth_unknown(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the program's name, may itself hold spaces and parentheses.
    state, *rest = stat.rpartition(")")[2].split()
    ticks_since_boot = rest[18]  # the 22nd field, `starttime` in proc(5)
    return None if state in "ZX" else ticks_since_boot


def _birth_unknown(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as somebody else
    return ""

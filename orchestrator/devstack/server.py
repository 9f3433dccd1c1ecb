"""What the two embedded servers share: a port of their own, and patience after a crash."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from orchestrator.devstack.ports import free_port
from orchestrator.devstack.service import Service

#: How long the remains of a killed run may take to disappear.
_PATIENCE_S = 10.0

_TRY_AGAIN_S = 0.1
_PORT_TAKEN = "address already in use"


class Server(Service):
    """An embedded server: it keeps its port, its password and its data over restarts."""

    #: What (in lower case) a run says that was stopped by the remains of an earlier one.
    remains: ClassVar[tuple[str, ...]] = (_PORT_TAKEN,)

    def __init__(self, name: str, folder: Path, port: int | None) -> None:
        super().__init__(name)
        self.folder = folder
        self._wanted_port = port
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Where it listens: the port asked for, else the one of the last run, else any."""
        if self._port is None:
            self._port = self._wanted_port or free_port(self._last_port())
        return self._port

    def _begin(self) -> None:
        super()._begin()
        self._port_file.write_text(str(self.port))

    def _will_pass(self, seconds: float, said: str) -> bool:
        said = said.lower()
        if seconds > _PATIENCE_S or not any(words in said for words in self.remains):
            return False
        if _PORT_TAKEN in said and self._wanted_port is None:
            self._port = free_port()  # somebody took it between our look and the start
        time.sleep(_TRY_AGAIN_S)
        return True

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _last_port(self) -> int | None:
        """The last run's port, so that addresses that people have noted stay good."""
        try:
            return int(self._port_file.read_text())
        except (OSError, ValueError):
            return None

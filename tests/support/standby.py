"""A PostgreSQL server that follows another one, and can take its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

from orchestrator.devstack.postgres import PostgresServer
from orchestrator.devstack.process import Child


class Standby(PostgresServer):
    """A streaming replica of the server at `primary`, with its passwords and databases."""

    def __init__(self, folder: Path, primary: str, password: str, log: Path) -> None:
        super().__init__(folder, password, log, durable=True)
        self._primary = primary

    def _create(self) -> None:
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._hand_over(unfinished)
        what = ("-D", str(unfinished), "-d", self._primary, "-R", "-X", "stream", "-c", "fast")
        child = Child(self._child_command("pg_basebackup", *what, "--no-sync"))
        if child.run() != 0:
            raise child.failed("could not copy the primary")
        unfinished.rename(self._data)

    def promote(self) -> None:
        """Follow nobody any more, and take writes."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            assert admin.execute("SELECT pg_promote(wait => true, wait_seconds => 60)").fetchone()

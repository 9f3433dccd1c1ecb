"""Which user a PostgreSQL server runs as.

PostgreSQL refuses to run as root, and to run as a user id without a name. The ways out are
tried for real, by running the program in its folder, instead of being predicted.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from orchestrator.devstack import launch


class Identity(StrEnum):
    """As whom a child runs; the values are words of `launch.py`."""

    SELF = "self"
    NOBODY = "nobody"
    NAMESPACE = "namespace"

    @property
    def owner(self) -> tuple[int, int]:
        """User and group, as seen from here, of files that belong to such a child."""
        if self is Identity.NOBODY:
            nobody = pwd.getpwnam("nobody")
            return nobody.pw_uid, nobody.pw_gid
        return os.geteuid(), os.getegid()


def candidates() -> tuple[Identity, ...]:
    """The identities that PostgreSQL may accept from the present user, best first."""
    if os.geteuid() == 0:
        return Identity.NOBODY, Identity.NAMESPACE
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return (Identity.NAMESPACE,)
    return (Identity.SELF,)


def works(identity: Identity, program: Path, folder: Path) -> bool:
    """True when `program --version` runs in `folder` under this identity."""
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "9"]
    tried = subprocess.run(
        [*launcher, identity, str(folder), str(program), "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


def choose(program: Path, folder: Path) -> Identity | None:
    """The first identity under which `program` runs in `folder`; None when there is none."""
    return next((one for one in candidates() if works(one, program, folder)), None)

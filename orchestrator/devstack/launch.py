"""Become a program that cannot outlive the process which started it.

    python -I -S launch.py PARENT DEATH_SIGNAL IDENTITY FOLDER PROGRAM [ARGUMENT]...

Takes on IDENTITY (see `identity.py`), enters FOLDER, asks the kernel for DEATH_SIGNAL when
the thread that started us ends, and replaces itself by PROGRAM: the process id stays the same.

A program of its own, because `subprocess` offers this only as `preexec_fn`, which is unsafe
(and a warning since Python 3.12) in a process with threads. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def become_nobody() -> None:
    """Give up root for the unprivileged user that every Unix has."""
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def enter_namespace() -> None:
    """Stay who we are for the file system, but be called `nobody` in our own eyes.

    A user namespace of one user: the id `nobody` inside is our id outside.
    """
    user, group = os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_CLONE_NEWUSER), "unshare")
    # The kernel lets a process map its group only after it has given up setgroups.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} {group} 1")


def die_with_parent(parent: int, death_signal: int) -> None:
    """Ask for `death_signal` when `parent` ends. To be called last: a change of user undoes it."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Do what the module's docstring says. Never returns."""
    parent, death_signal, identity, folder, *program = arguments
    if identity == "nobody":
        become_nobody()
    elif identity == "namespace":
        enter_namespace()
    os.chdir(folder)
    die_with_parent(int(parent), int(death_signal))
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])

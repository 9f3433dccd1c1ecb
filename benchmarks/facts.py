"""On what machine, of what commit, and with which versions a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import redis

from benchmarks.stage import Stage

#: The folder that holds this package.
ROOT = Path(__file__).resolve().parent.parent

_PACKAGES = ("celery", "kombu", "redis", "psycopg", "sqlalchemy")


def machine() -> dict[str, str]:
    """Processors, memory, operating system, Python, and how busy the machine was before."""
    return {
        "processors": f"{_usable_processors()} x {_processor()}",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def packages() -> dict[str, str]:
    """Versions of the packages that everything passes through."""
    return {f"python-{name}": version(name) for name in _PACKAGES}


def servers(stage: Stage) -> dict[str, str]:
    """Versions of the servers, and whether commits are durable."""
    server = stage.deps.store.server()
    return {
        "postgresql": f"{server['version']} (fsync {server['fsync']}, synchronous_commit "
        f"{server['synchronous_commit']})",
        "redis server": redis_server(stage.redis),
    }


def commit() -> str:
    """The short commit of the working tree, with a `+` when it has changes; `none` without git."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git(
            "status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results"
        )
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return name + ("+" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def redis_server(client: redis.Redis) -> str:
    """Name and version, and whether it is durable."""
    server = client.info("server")
    persistence = client.info("persistence")
    name = server.get("server_name", "redis")
    number = server.get(f"{name}_version", server["redis_version"])
    return f"{name} {number} (append-only file {'on' if persistence['aof_enabled'] else 'off'})"

"""doctor: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator import bootstrap
from orchestrator.cli import output
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine import rounds
from orchestrator.engine.deps import Deps
from orchestrator.store import migrate

#: Seconds that clocks may differ before logs and timestamps mislead.
MOST_SKEW = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    ok: bool
    found: str
    #: what to do about it; empty when it is as it should be
    advice: str = ""


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check versions, servers, schema, clocks, Redis' settings, workers and housekeeping."""
    findings = list(examine())
    if as_json:
        output.as_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _print(finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """All checks in the order in which they make sense."""
    yield _versions()
    try:
        deps = bootstrap.build(Settings.load())
    except OrchestratorError as error:
        yield Finding("settings", False, error.code, str(error))
        return
    try:
        for name, check in CHECKS.items():
            yield _safely(name, check, deps)
    finally:
        bootstrap.close(deps)


def _safely(name: str, check: Callable[[Deps], Finding], deps: Deps) -> Finding:
    try:
        return check(deps)
    except OrchestratorError as error:
        return Finding(name, False, error.code, str(error))


def _versions() -> Finding:
    names = ("celery", "kombu", "redis", "psycopg", "sqlalchemy")
    found = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return Finding("versions", True, f"Python {sys.version.split()[0]}, {', '.join(found)}")


def _store(deps: Deps) -> Finding:
    server = deps.store.server()
    safe = server["fsync"] == "on"
    found = f"PostgreSQL {server['version']}, fsync {server['fsync']}"
    advice = "Set fsync = on: without it a power cut can lose accepted spawns."
    return Finding("postgresql", safe, found, "" if safe else advice)


def _schema(_deps: Deps) -> Finding:
    url = Settings.load().located().database_url
    assert url is not None
    found, needed = migrate.current(url), migrate.head()
    ok = found == needed
    advice = "" if ok else "Run `orchestrator migrate`."
    return Finding("schema", ok, f"at {found}, needed {needed}", advice)


def _store_clock(deps: Deps) -> Finding:
    skews = {
        "PostgreSQL": (deps.store.clock() - datetime.now(UTC)).total_seconds(),
        "Redis": deps.gate.now() / 1000 - datetime.now(UTC).timestamp(),
    }
    ok = all(abs(skew) < MOST_SKEW for skew in skews.values())
    found = ", ".join(f"{name} {skew:+.2f} s" for name, skew in skews.items())
    advice = "Synchronise the clocks (NTP). Limits do not depend on it; times in logs do."
    return Finding("clocks", ok, found, "" if ok else advice)


def _gate(deps: Deps) -> Finding:
    info = deps.gate.server()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version", info.get("redis_version")))
    refused = sum(deps.gate.refusals().values())
    found = (
        f"{name} {version}, {deps.gate.held()} slots held, {deps.gate.backlog()} queued, "
        f"{refused} refused"
    )
    return Finding("redis", True, found)


def _eviction(deps: Deps) -> Finding:
    policy = _setting(deps, "maxmemory-policy")
    ok = policy in ("noeviction", None)
    advice = "Set maxmemory-policy noeviction: an evicted key is a lost lease or queue."
    return Finding("eviction", ok, policy or "not readable", "" if ok else advice)


def _persistence(deps: Deps) -> Finding:
    setting = _setting(deps, "appendonly")
    ok = setting in ("yes", None)
    advice = (
        "Set appendonly yes: nothing is lost without it, but after a restart the gate has to be "
        "rebuilt from PostgreSQL before it takes spawns."
    )
    return Finding(
        "persistence", ok, f"appendonly {setting or 'not readable'}", "" if ok else advice
    )


def _setting(deps: Deps, name: str) -> str | None:
    """A setting of Redis; None where the server does not tell (managed ones often do not)."""
    return deps.gate.server_setting(name)


def _workers(deps: Deps) -> Finding:
    offers = deps.gate.workers()
    found = ", ".join(
        f"{name} ({', '.join(f'{pool} {capacity}' for pool, capacity in offer.items())})"
        for name, offer in offers.items()
    )
    advice = "Start one: `orchestrator worker --agents MODULE`."
    return Finding("workers", bool(offers), found or "none", "" if offers else advice)


def _housekeeping(deps: Deps) -> Finding:
    """Whether each job is done as often as it is to be."""
    jobs = deps.store.housekeeping.jobs()
    late = [job for job in jobs if job.age > rounds.MOST_PERIODS * job.period]
    found = ", ".join(f"{job.job} {job.age:.0f} s ago" for job in late or jobs)
    advice = "Start one: `orchestrator beat`. If one runs, look at its log for why rounds fail."
    ok = bool(jobs) and not late
    return Finding("housekeeping", ok, found or "never", "" if ok else advice)


CHECKS: dict[str, Callable[[Deps], Finding]] = {
    "postgresql": _store,
    "schema": _schema,
    "clocks": _store_clock,
    "redis": _gate,
    "eviction": _eviction,
    "persistence": _persistence,
    "workers": _workers,
    "housekeeping": _housekeeping,
}


def _print(finding: Finding) -> None:
    mark = "[green]ok[/]  " if finding.ok else "[red]FAIL[/]"
    output.out.print(f"{mark} {finding.check:<12} {finding.found}", highlight=False)
    if finding.advice:
        output.out.print(f"                  {finding.advice}", highlight=False, markup=False)

"""dev, migrate, worker, beat, demo: the commands that run things."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel

from orchestrator.cli import output
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.config.settings import Settings
from orchestrator.devstack.stack import Stack, StackOptions
from orchestrator.domain.errors import ConfigurationError, InvalidRequest
from orchestrator.domain.names import is_identifier
from orchestrator.store import migrate as migrations
from orchestrator.telemetry import logging

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogJSON = Annotated[bool, typer.Option("--json", help="Log JSON also on a terminal.")]
Agents = Annotated[
    list[str] | None, typer.Option("--agents", help="A module with agents; may be repeated.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(dev)
    app.command()(migrate)
    app.command()(worker)
    app.command()(beat)
    app.command()(demo)


def dev(
    workers: Annotated[int, typer.Option(help="Worker processes.", min=0)] = 1,
    concurrency: Annotated[int | None, typer.Option(help="Instances per worker.", min=1)] = None,
    agents: Agents = None,
    flower: Annotated[bool, typer.Option(help="Start Flower.")] = True,
    as_json: AsJSON = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    settings = Settings.load()
    modules = tuple(agents or settings.agents) or _examples()
    options = _stack_options(settings, modules, workers, concurrency, flower)
    with Stack(options, _tell) as stack:
        _announce(stack, as_json=as_json)
        stack.wait()


def migrate(
    revision: Annotated[str, typer.Argument(help="Up to which revision.")] = "head",
    down: Annotated[bool, typer.Option(help="Take migrations back to it instead.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Bring the database to the schema of this version."""
    url = Settings.load().located().database_url
    assert url is not None
    reached = (migrations.downgrade if down else migrations.upgrade)(url, revision)
    output.as_json({"revision": reached}) if as_json else output.line(
        f"The schema is at {reached}."
    )


def worker(
    pool: Annotated[str, typer.Option(help="Whose instances to run.")] = "default",
    concurrency: Annotated[
        int | None, typer.Option(help="How many at once (default: the setting).", min=1)
    ] = None,
    agents: Agents = None,
    as_json: LogJSON = False,
) -> None:
    """Run agents until told to stop. Start as many of these, on as many machines, as needed."""
    if not is_identifier(pool):
        raise InvalidRequest("INVALID_NAME", f"{pool!r} cannot name a pool; see `--help`.")
    settings = ready_settings(agents, as_json=as_json)
    if not settings.agents:
        raise ConfigurationError(
            "A worker needs agents to run: name their modules with --agents MODULE or in "
            "ORCHESTRATOR_AGENTS."
        )
    from workers import main  # the Celery application reads its settings when it is imported

    main.exit_now(main.work(settings, pool, concurrency or settings.worker_concurrency))


def beat(as_json: LogJSON = False) -> None:
    """Run the clock and the housekeeping. Several may run; the work is done once."""
    settings = ready_settings(None, as_json=as_json)
    from workers import main  # see `worker`

    main.exit_now(main.keep_house(settings))


def demo(
    source: Annotated[
        Path | None, typer.Option(help="The code base to audit (default: Celery's own).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo-report"),
    tour: Annotated[bool, typer.Option("--tour", help="Six proofs instead of an audit.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Audit a real code base with a tree of agents, on a stack of its own."""
    _tour(as_json=as_json) if tour else _audit(source, out, as_json=as_json)


def _audit(source: Path | None, out: Path, *, as_json: bool) -> None:
    with _of_the_repository():
        from examples.audit.run import NothingToAudit, run_audit

    with _demo_stack("examples.audit.agents", flower=True) as orchestrator:
        try:
            console = None if as_json else output.out
            summary = run_audit(orchestrator, source or _celery(), out, console)
        except NothingToAudit as error:
            raise InvalidRequest("NOTHING_TO_AUDIT", str(error)) from None
    if as_json:
        output.as_json(summary.to_dict())
    if not summary.ok:
        raise typer.Exit(1)


def _tour(*, as_json: bool) -> None:
    with _of_the_repository():
        from examples.tour.run import run_tour

    with _demo_stack("examples.tour.agents", flower=False) as orchestrator:
        outcomes = run_tour(orchestrator, None if as_json else output.out)
    if as_json:
        output.as_json([outcome.to_dict() for outcome in outcomes])
    if not all(outcome.holds for outcome in outcomes):
        raise typer.Exit(1)


@contextmanager
def _of_the_repository() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The demo is part of the repository, not of the installed package: run `make demo` in "
            "a clone of it."
        ) from None


@contextmanager
def _demo_stack(agents: str, *, flower: bool) -> Iterator[Orchestrator]:
    """A stack of the demo's own and a connection to it."""
    settings = Settings.load()
    # Two processes, so that agents that compute do so on two cores.
    options = _stack_options(settings, (agents,), 2, 8, flower=flower)
    with Stack(options, _tell) as stack:
        located = settings.model_copy(
            update={"redis_url": stack.redis_url, "database_url": stack.database_url}
        )
        with Orchestrator.from_settings(located) as orchestrator:
            yield orchestrator


def _celery() -> Path:
    """The source of the installed Celery: real code that every installation has."""
    spec = importlib.util.find_spec("celery")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def ready_settings(agents: list[str] | None, *, as_json: bool) -> Settings:
    """The settings of a process that works on a database of this version; logs go by them."""
    settings = Settings.load(**({"agents": ",".join(agents)} if agents else {})).located()
    logging.configure(settings.log_level, as_json=as_json or None)
    assert settings.database_url is not None
    migrations.require_current(settings.database_url)
    # The Celery application is made from the environment: it must see the same servers.
    os.environ["ORCHESTRATOR_REDIS_URL"] = settings.redis_url or ""
    os.environ["ORCHESTRATOR_DATABASE_URL"] = settings.database_url
    return settings


def _stack_options(
    settings: Settings,
    agents: tuple[str, ...],
    workers: int,
    concurrency: int | None,
    flower: bool,
) -> StackOptions:
    return StackOptions(
        state_dir=settings.state_dir,
        workers=workers,
        concurrency=concurrency,
        agents=agents,
        flower=flower,
        redis_url=settings.redis_url,
        database_url=settings.database_url,
    )


def _tell(name: str, detail: str) -> None:
    output.err.print(f"[dim]{name:>10}[/] {detail}", highlight=False)


def _examples() -> tuple[str, ...]:
    """The agents of the repository, for a stack that nobody has named agents for."""
    if importlib.util.find_spec("examples") is None:
        raise ConfigurationError(
            "Name the modules of your agents: `orchestrator dev --agents MODULE`, or set "
            "ORCHESTRATOR_AGENTS."
        )
    trees = ("examples.research", "examples.support_desk", "examples.market")
    return ("examples.hello", "examples.audit.agents", *trees)


def _announce(stack: Stack, *, as_json: bool) -> None:
    if as_json:
        urls = {"flower": stack.flower_url, "database": stack.database_url}
        output.as_json(urls | {"redis": stack.redis_url})
        return
    box = _box(stack)
    # As wide as the URLs are: a cut one could not be copied.
    output.out.print(box, width=max(output.out.width, _width(box)), soft_wrap=True)


def _box(stack: Stack) -> Panel:
    rows = [
        f"Flower      {stack.flower_url or 'not started'}",
        f"PostgreSQL  {stack.database_url}",
        f"Redis       {stack.redis_url}",
        "",
        'Spawn:      orchestrator spawn hello \'{"name": "world"}\' --wait 10',
        "Stop:       Ctrl-C",
    ]
    return Panel("\n".join(rows), title="orchestrator", expand=False)


def _width(box: Panel) -> int:
    return 4 + max(len(row) for row in str(box.renderable).splitlines())

"""metrics: the whole backend, for Prometheus."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import Annotated

import typer

from orchestrator import bootstrap
from orchestrator.cli import output
from orchestrator.cli.processes import LogJSON, ready_settings
from orchestrator.domain.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(metrics)


def metrics(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.", min=0, max=65_535)] = 9_464,
    as_json: LogJSON = False,
) -> None:
    """Answer Prometheus for the whole backend (/metrics, /health) until told to stop."""
    from orchestrator.gateway.whole import Whole  # takes longer to load than most commands
    from orchestrator.telemetry.scrape import ScrapeServer

    deps = bootstrap.build(ready_settings(None, as_json=as_json))
    whole = Whole(deps)
    try:
        server = ScrapeServer(whole.registry, whole.health, host, port)
    except OSError as error:
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error}.") from None
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    output.err.print(f"listening on {host}:{server.port}", highlight=False)
    try:
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        server.server_close()
        bootstrap.close(deps)

"""callbacks: where remote agents say that they are done."""

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
from orchestrator.gateway.callbacks import CallbackServer


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(callbacks)


def callbacks(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.", min=0, max=65_535)] = 8_099,
    as_json: LogJSON = False,
) -> None:
    """Let remote agents say that they are done, until told to stop. Put TLS in front of it."""
    settings = ready_settings(None, as_json=as_json)
    if settings.http_callback_secret is None:
        raise ConfigurationError(
            "Addresses of callbacks are signed: set ORCHESTRATOR_HTTP_CALLBACK_SECRET to at least "
            "16 characters, the same for the workers."
        )
    deps = bootstrap.build(settings)
    try:
        server = CallbackServer(deps, settings.http_callback_secret, host, port)
    except OSError as error:
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error}.") from None
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    output.err.print(f"listening on {host}:{server.server_address[1]}", highlight=False)
    try:
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        server.server_close()
        bootstrap.close(deps)

"""What a worker or beat answers Prometheus."""

from __future__ import annotations

from typing import Any

from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.telemetry import instruments, metrics
from orchestrator.telemetry.logging import get_logger
from workers.process import Process

log = get_logger("orchestrator.worker")


def serve(settings: Settings, this: Process) -> None:
    """Count from now on; and answer, if there is a port to do it on."""
    if not settings.metrics:
        return
    instruments.switch_on()
    metrics.RUNNING.read_by(lambda: len(this.host.running.all()))
    if settings.metrics_port is None:
        return
    from orchestrator.telemetry.scrape import ScrapeServer

    try:
        server = ScrapeServer(
            None, lambda: _health(this), settings.metrics_host, settings.metrics_port
        )
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {settings.metrics_host}:{settings.metrics_port}: {error}. Give each "
            "process of a machine a port of its own, or 0 for any free one."
        ) from None
    server.start()
    log.info("metrics.served", host=settings.metrics_host, port=server.port)


def _health(this: Process) -> tuple[bool, dict[str, Any]]:
    return True, {"ok": True, "worker": this.host.worker, "running": len(this.host.running.all())}

"""Where Prometheus reads: a small HTTP server on a thread of its own.

`/metrics` is for Prometheus, `/health` for whoever restarts or alerts: 200 while things move, 503
with the reason when they do not.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from orchestrator.domain.errors import OrchestratorError
from orchestrator.telemetry.instruments import MULTIPROCESS

#: Whether all is well, and what was found, as JSON.
Health = Callable[[], tuple[bool, dict[str, Any]]]


def of_this_process() -> CollectorRegistry:
    """What this process has counted; of several that share a folder, all of them."""
    if MULTIPROCESS not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    return registry


class ScrapeServer(ThreadingHTTPServer):
    """Answers once it is started, each request on a thread of its own.

    Without a registry: what this process has counted.
    """

    daemon_threads = True

    def __init__(
        self, registry: CollectorRegistry | None, health: Health, host: str, port: int
    ) -> None:
        super().__init__((host, port), _Handler)
        self.registry = of_this_process() if registry is None else registry
        self.health = health

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Answer on a thread of its own."""
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: ScrapeServer
    timeout = 30.0
    server_version = "orchestrator"
    sys_version = ""

    def do_GET(self) -> None:
        """One page."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._metrics()
            case "/health":
                ok, found = self.server.health()
                self._answer(200 if ok else 503, "application/json", json.dumps(found).encode())
            case _:
                self._answer(404, "text/plain", b"There are /metrics and /health.\n")

    def log_message(self, *_: object) -> None:
        """Who scrapes, scrapes often."""

    def _metrics(self) -> None:
        try:
            text = generate_latest(self.server.registry)
        except OrchestratorError as error:
            self._answer(503, "text/plain", f"{error.code}: {error.message}\n".encode())
        else:
            self._answer(200, CONTENT_TYPE_LATEST, text)

    def _answer(self, status: int, kind: str, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

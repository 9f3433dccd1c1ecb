"""Carries messages from the gate's outbox to another broker.

Only where `broker_url` is set. A message that is lost between the two is handed out again once
its dispatch has run out, so nothing has to be kept for acknowledgement.
"""

from __future__ import annotations

import threading

import structlog
from kombu.exceptions import OperationalError

from orchestrator.admission.gate import Gate
from orchestrator.domain.errors import OrchestratorError
from orchestrator.transport.publisher import Publisher

log = structlog.get_logger("orchestrator.relay")

#: Seconds to wait for a message, and after a failure.
PATIENCE = 1.0


class Relay:
    """A thread that empties the outbox into a broker. Several may run."""

    def __init__(self, gate: Gate, publisher: Publisher) -> None:
        self._gate = gate
        self._publisher = publisher
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="relay", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def close(self) -> None:
        """Stop, leaving what is in the outbox to others."""
        self._closed.set()
        self._thread.join(timeout=5)
        self._publisher.close()

    def _carry(self) -> None:
        while not self._closed.is_set():
            try:
                texts = self._gate.take_outbox(PATIENCE)
            except OrchestratorError as error:
                log.warning("relay.gate_unavailable", error=error.code)
                self._closed.wait(PATIENCE)
                continue
            if texts:
                self._publish(texts)

    def _publish(self, texts: list[str]) -> None:
        try:
            self._publisher.publish(texts)
        except (OperationalError, OSError) as error:
            log.warning("relay.broker_unavailable", error=str(error), messages=len(texts))
            self._gate.return_outbox(texts)
            self._closed.wait(PATIENCE)

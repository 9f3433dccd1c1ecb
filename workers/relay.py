"""Carries messages from the gate's outbox to another broker.

Only where `broker_url` is set. A message that is lost between the two is handed out again once
its dispatch has run out, so nothing has to be kept for acknowledgement.
"""

from __future__ import annotations

import threading

from kombu.exceptions import OperationalError

from orchestrator.admission.gate import Gate
from orchestrator.telemetry.logging import get_logger
from orchestrator.transport.publisher import Publisher

log = get_logger("orchestrator.relay")

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
                self._carry_some()
            except Exception:
                # Whatever it was, the relay goes on: messages that are lost are sent again later.
                log.exception("relay.failed")
                self._closed.wait(PATIENCE)

    def _carry_some(self) -> None:
        texts = self._gate.take_outbox(PATIENCE)
        try:
            self._publisher.publish(texts)
        except (OperationalError, OSError):
            self._gate.return_outbox(texts)
            raise

"""Publishes messages that the gate has put into its outbox, through kombu, to any broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kombu import Connection, Exchange, Queue

from orchestrator.transport.envelope import PRIORITY_LEVELS

#: Brokers where 0 is the most urgent; for all others it is the highest number.
LOWEST_FIRST = {"redis"}


class Publisher:
    """One connection to a broker that is not the gate's Redis."""

    def __init__(self, broker_url: str, options: dict[str, Any] | None = None) -> None:
        self._connection = Connection(broker_url, transport_options=options or {})
        self._declared: set[str] = set()

    def close(self) -> None:
        """Close the connection."""
        self._connection.release()

    def publish(self, texts: Sequence[str]) -> None:
        """Send messages in the gate's own form. Raises what the connection raises."""
        if not texts:
            return
        self._connection.ensure_connection(max_retries=1)
        with self._connection.Producer() as producer:
            for text in texts:
                self._send(producer, json.loads(text))

    def _send(self, producer: Any, message: dict[str, Any]) -> None:
        properties = message["properties"]
        queue = properties["delivery_info"]["routing_key"]
        producer.publish(
            message["body"],
            routing_key=queue,
            exchange="",
            declare=[] if queue in self._declared else [self._queue(queue)],
            headers=message["headers"],
            content_type=message["content-type"],
            content_encoding=message["content-encoding"],
            correlation_id=properties["correlation_id"],
            priority=self._priority(properties["priority"]),
            delivery_mode=properties["delivery_mode"],
        )
        self._declared.add(queue)

    def _queue(self, name: str) -> Any:
        return Queue(name, Exchange(name, type="direct"), routing_key=name)

    def _priority(self, level: int) -> int:
        lowest_first = self._connection.transport.driver_type in LOWEST_FIRST
        return level if lowest_first else PRIORITY_LEVELS[-1] - level

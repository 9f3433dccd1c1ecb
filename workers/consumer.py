"""Celery's consumer, sending task events in batches."""

from __future__ import annotations

from celery.worker.consumer import Consumer as CeleryConsumer

#: Seconds for which events are gathered. Celery sends them at every turn of its loop, which takes
#: a quarter of the loop's time at full load; nobody looks at Flower four times a second.
GATHER = 0.25


class Consumer(CeleryConsumer):
    """Flushes events `GATHER` seconds after the first of a batch."""

    _flush_is_due = False

    def on_send_event_buffered(self) -> None:
        """An event has been buffered: see to it that it is sent soon."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            self.hub.call_later(GATHER, self._flush_gathered)

    def _flush_gathered(self) -> None:
        self._flush_is_due = False
        self._flush_events()

"""The calls that are under way in this process: one thread keeps their leases."""

from __future__ import annotations

import threading

from orchestrator.admission.calls import Caller
from orchestrator.admission.gate import Gate
from orchestrator.domain.errors import OrchestratorError
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.calls")

#: How many calls one script renews.
PAGE = 500


class OpenCalls:
    """Renews every `interval` seconds what was added and not yet removed."""

    def __init__(self, gate: Gate, interval: float) -> None:
        self._gate = gate
        self._interval = interval
        self._calls: set[Caller] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, caller: Caller) -> None:
        """A call has begun."""
        with self._lock:
            self._calls.add(caller)
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="calls", daemon=True)
                self._thread.start()

    def remove(self, caller: Caller) -> None:
        """It has ended."""
        with self._lock:
            self._calls.discard(caller)

    def renew(self) -> None:
        """Renew all leases now."""
        with self._lock:
            calls = list(self._calls)
        for start in range(0, len(calls), PAGE):
            self._gate.renew_calls(calls[start : start + PAGE])

    def close(self) -> None:
        """Renew nothing any more."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _live(self) -> None:
        while not self._closed.wait(self._interval):
            try:
                self.renew()
            except OrchestratorError as error:
                log.warning("calls.not_renewed", error=error.code)
            except Exception:
                # Whatever it was, the leases of the others must not run out for it.
                log.exception("calls.not_renewed")

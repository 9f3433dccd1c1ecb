"""Keeps a set of services running: starts them in order, revives them, stops them in reverse."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread

from orchestrator.devstack.errors import DevstackError
from orchestrator.devstack.service import Service

#: Told about all that happens to a service: its name, and what happened in a few words.
OnEvent = Callable[[str, str], None]

#: A service that dies so often within so many seconds is not started again.
MAX_DEATHS = 5
DEATHS_WINDOW_S = 60.0

_WATCH_EVERY_S = 0.1


class Supervisor:
    """Services that were started together, and the thread that watches over them."""

    def __init__(self, on_event: OnEvent) -> None:
        self._tell = on_event
        self._groups: list[Sequence[Service]] = []
        self._watched: list[Service] = []
        self._deaths: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_DEATHS))
        self._stopping = Event()
        self._launching = Lock()
        self._gave_up = Event()
        self._failure: DevstackError | None = None
        self._thread = Thread(target=self._watch, name="devstack-supervisor", daemon=True)

    def start(self, *groups: Sequence[Service]) -> None:
        """Start services side by side and wait until all are ready. Raises ServiceFailed.

        The groups say in which order they stop: the last group first.
        """
        self._groups += groups
        services = [service for group in groups for service in group]
        for service in services:
            service.launch()
        for service in services:
            service.wait_ready()
            self.adopt(service)

    def adopt(self, service: Service) -> None:
        """Watch over a service that runs already, and that somebody else will stop."""
        self._tell(service.name, "ready")
        self._watched.append(service)

    def watch(self) -> None:
        """From now on, start again what ends by itself."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until a service is given up, and raise the reason (a DevstackError)."""
        self._gave_up.wait()
        assert self._failure is not None  # set before the event
        raise self._failure

    def stop(self) -> None:
        """Stop the services that were started here, the last group first."""
        self._stopping.set()
        with self._launching:  # a launch that has begun must be over: we are to stop it too
            pass
        for group in reversed(self._groups):
            self._stop_together([service for service in group if service.alive])
        if self._thread.is_alive():
            self._thread.join()

    def _stop_together(self, group: Sequence[Service]) -> None:
        for service in group:
            self._tell(service.name, "stopping")
            service.ask_to_stop()
        for service in group:
            service.wait_stopped()

    def _watch(self) -> None:
        while not (self._stopping.wait(_WATCH_EVERY_S) or self._gave_up.is_set()):
            for service in self._watched:
                if not service.alive:
                    self._revive(service)

    def _revive(self, service: Service) -> None:
        deaths = self._deaths[service.name]
        deaths.append(time.monotonic())
        if len(deaths) == MAX_DEATHS and deaths[-1] - deaths[0] < DEATHS_WINDOW_S:
            self._give_up(service)
            return
        self._tell(service.name, f"ended (exit code {service.poll()}), starting it again")
        try:
            self._launch(service)
        except (DevstackError, OSError) as error:
            self._tell(service.name, str(error))
            service.kill()  # one that never became ready is tried again as well
        else:
            if not self._stopping.is_set():
                self._tell(service.name, "ready")

    def _launch(self, service: Service) -> None:
        with self._launching:
            if self._stopping.is_set():
                return
            service.launch()
        service.wait_ready(abandon=self._stopping)

    def _give_up(self, service: Service) -> None:
        self._failure = service.failed(
            f"ended {MAX_DEATHS} times within {DEATHS_WINDOW_S:.0f} s and is given up"
        )
        self._tell(service.name, "given up")
        self._gave_up.set()

"""Waiting for other instances: the function is left, and run again when they have ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, overload

from orchestrator.agents.handle import Desk, Handle, failure_of
from orchestrator.agents.history import Place
from orchestrator.agents.operations import Operations, checked_seconds, until_of
from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import (
    DeadlockDetected,
    InvalidRequest,
    OrchestratorError,
    ResultPending,
)
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.waits import WaitKind, WaitNode

#: Seconds within the end of a patience that are waited for on the spot.
SHORT = 0.05


class Waiting(Operations, Desk):
    """The waits for instances, and what handles ask."""

    @overload
    def wait(
        self, handles: Handle, *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Any: ...

    @overload
    def wait(
        self,
        handles: Iterable[Handle],
        *,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]: ...

    def wait(
        self,
        handles: Handle | Iterable[Handle],
        *,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> Any:
        """The results of all, in their order, once all have ended; of one handle, its result.

        This instance holds no slot and no thread while it waits. A child that failed or was
        cancelled raises `AgentFailed` or `AgentCancelled`, the first one in order; with
        `return_exceptions` such an exception stands in its place among the results instead, as in
        `asyncio.gather`. After `timeout` seconds it raises `ResultPending`; the children go on.
        """
        single = isinstance(handles, Handle)
        ids = [handles.id] if isinstance(handles, Handle) else [one.id for one in handles]
        with self._lock:
            place, ended = self._ended(ids, timeout)
            results = [self._outcome(place, instance) for instance in ended]
        if not return_exceptions:
            for result in results:
                if isinstance(result, OrchestratorError):
                    failed = [one.id for one in ended if one.state is not State.COMPLETED]
                    raise self._raised(place, result, failed)
        return results[0] if single else results

    def wait_any(self, handles: Iterable[Handle], *, timeout: float | None = None) -> Handle:
        """The one of them that ended first, once one has; its result is there at once."""
        return self.wait_at_least(1, handles, timeout=timeout)[0]

    def wait_at_least(
        self, n: int, handles: Iterable[Handle], *, timeout: float | None = None
    ) -> list[Handle]:
        """The first `n` of them that ended, in that order, once so many have.

        This instance holds no slot while it waits. One that failed has ended too; asked for its
        result, its handle raises.
        """
        by_id = {handle.id: handle for handle in handles}
        if not 1 <= n <= len(by_id):
            raise InvalidRequest(
                "INVALID_WAIT",
                f"{n} of {len(by_id)} instances cannot be waited for; it must be at least 1 and "
                "at most all of them.",
            )
        with self._lock:
            place = self._next("wait", f"{n} of {len(by_id)}")
            first = self._recorded_first(place)
            if first is None:
                self._wait(place, list(by_id), n, timeout)
                ended = [one for one in self._backend.ended(list(by_id)) if one.ended_at]
                order = sorted((one.ended_at, one.id) for one in ended if one.ended_at)
                first = [one for _, one in order[:n]]
                # Others may end meanwhile; a later run must be given the same ones.
                self._history.later(place.entry({"first": first}))
        return [by_id[one] for one in first]

    # --- what handles ask (see `Desk`) -------------------------------------------------------

    def result_for(self, instance_id: str, timeout: float | None) -> Any:
        """What a handle answers as its result."""
        return self.wait(Handle(instance_id, self), timeout=timeout)

    def status_of(self, instance_id: str) -> State:
        """The state of an instance at this point of the function, in every run."""
        with self._lock:
            place = self._next("status", instance_id)
            if place.recorded is not None:
                return State(place.recorded.value)
            state = self._backend.state_of(instance_id)
            self._history.later(place.entry(state))
            return state

    def cancel(self, instance_id: str) -> CancelReport:
        """Cancel an instance and everything below it; answers what became of each."""
        with self._lock:
            place = self._next("cancel", instance_id)
            if place.recorded is not None:
                return CancelReport.from_dict(place.recorded.value)
            # What the agent decided it by has to be on record before it is done.
            self._history.write()
            report = self._backend.cancel(instance_id)
            self._history.write(place.entry(report.to_dict()))
            return report

    # --- how --------------------------------------------------------------------------------

    def _ended(self, ids: list[str], timeout: float | None) -> tuple[Place, list[Instance]]:
        place = self._next("wait", f"all of {len(ids)}")
        self._wait(place, ids, None, timeout)
        return place, self._backend.ended(ids)

    def _wait(
        self, place: Place, ids: Sequence[str], needs: int | None, timeout: float | None
    ) -> None:
        """Come back only when `needs` of them (None: all) have ended."""
        self._raise_recorded(place, timeout)
        distinct = list(dict.fromkeys(ids))
        spare = 0 if needs is None else len(distinct) - needs
        until = until_of(place) or self._deadline(timeout)
        while True:
            pending = self._backend.pending(distinct) if distinct else []
            if len(pending) <= spare:
                return
            if until is not None:
                left = (until - self._backend.now()).total_seconds()
                if left <= 0:
                    self._history.write(
                        place.entry({"pending": pending, "until": until.isoformat()})
                    )
                    raise self._raised(place, ResultPending(pending, timeout or 0.0))
                if left <= SHORT:
                    self._backend.pause(left)
                    continue
            self._leave(place, pending, len(pending) - spare, until)

    def _leave(self, place: Place, pending: list[str], needs: int, until: datetime | None) -> None:
        cycle = self._backend.begin_wait(self._claim(place), pending, needs)
        if cycle:
            nodes = [node.to_dict() for node in cycle]
            self._history.write(place.failure({"type": "DeadlockDetected", "cycle": nodes}))
            raise self._raised(place, DeadlockDetected(cycle))
        wait = self._wait_for(place, WaitKind.ENDED, until)
        self._suspend(place, replace(wait, targets=tuple(pending), needs=needs))

    def _raise_recorded(self, place: Place, timeout: float | None) -> None:
        """Raise what an earlier run was told here, if it was told that it waits in vain."""
        if place.recorded is None:
            return
        if place.recorded.error is not None:
            cycle = tuple(WaitNode(**node) for node in place.recorded.error["cycle"])
            raise self._raised(place, DeadlockDetected(cycle))
        if "pending" in place.recorded.value:
            pending = ResultPending(place.recorded.value["pending"], timeout or 0.0)
            raise self._raised(place, pending)

    def _recorded_first(self, place: Place) -> list[str] | None:
        if place.recorded is None or place.recorded.value is None:
            return None
        first: list[str] | None = place.recorded.value.get("first")
        return first

    def _deadline(self, timeout: float | None) -> datetime | None:
        if timeout is None:
            return None
        seconds = checked_seconds(timeout, "The timeout")
        return self._backend.now() + timedelta(seconds=seconds)

    def _outcome(self, place: Place, instance: Instance) -> Any:
        if instance.state is State.COMPLETED:
            return instance.result
        return self._raised(place, failure_of(instance), [instance.id])

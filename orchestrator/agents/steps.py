"""Steps: actions of an agent that happen once, whatever happens to its worker."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from orchestrator.agents.history import Place, inside_step
from orchestrator.agents.operations import Operations, checked_seconds, until_of
from orchestrator.agents.state import AgentState
from orchestrator.domain.errors import StepFailed
from orchestrator.domain.failure import describe
from orchestrator.domain.names import check_label
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.waits import WaitKind
from orchestrator.engine.fault_points import reached
from orchestrator.engine.running import Continued

#: Seconds for which a pause does not leave the function: coming back would take as long.
SHORT = 0.25


class Steps(Operations):
    """The operations that need nobody else."""

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retry: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> Any:
        """Do something once: `function(*args, **kwargs)`, whose result is recorded.

        When this agent runs again, after a wait, a crash or a deploy, the recorded result is
        returned at once. The result is a JSON value. Between the action and its record there is
        a moment in which a crash makes it happen again: give what must not be repeated a key that
        its receiver knows it by. Raises `StepFailed` when the function raised and `retry` (None:
        no retry) allows no further try; that is recorded too, until the attempt fails with it.
        """
        with self._lock:
            tried = self.open_step(name)
            while not tried.is_done:
                reached("step.before")
                try:
                    with inside_step(name):
                        value = function(*args, **kwargs)
                except Exception as error:
                    tried.fail(error, retry)
                else:
                    tried.keep(value)
            return tried.result()

    def open_step(self, name: str) -> Step:
        """The next operation as a step that is to be done, or has been."""
        check_label("a step", name)
        with self._lock:
            return Step(self, self._next("step", name))

    def now(self) -> datetime:
        """The time, in UTC, by PostgreSQL's clock; the same in every run."""
        with self._lock:
            place = self._next("now")
            if place.recorded is not None:
                return datetime.fromisoformat(place.recorded.value)
            now = self._backend.now()
            self._history.later(place.entry(now.isoformat()))
            return now

    def random(self) -> float:
        """A random number from 0 up to 1; the same in every run. Not for secrets."""
        with self._lock:
            return random.Random(self._seed(self._next("random"))).random()

    def uuid(self) -> uuid.UUID:
        """A random UUID (version 4); the same in every run. Not for secrets."""
        with self._lock:
            return uuid.UUID(bytes=self._seed(self._next("uuid"))[:16], version=4)

    def sleep(self, seconds: float) -> None:
        """Go on after so many seconds; longer ones hold no slot and no thread."""
        seconds = checked_seconds(seconds, "The time to sleep")
        with self._lock:
            place = self._next("sleep")
            until = until_of(place)
            left = seconds if until is None else (until - self._backend.now()).total_seconds()
            if left <= SHORT:
                self._backend.pause(max(0.0, left))
                return
            until = until or self._backend.now() + timedelta(seconds=seconds)
            self._suspend(place, self._wait_for(place, WaitKind.TIMER, until))

    @property
    def state(self) -> AgentState:
        """A small dict that this instance keeps through every run, for checkpoints of its own."""
        if self._state is None:
            self._state = AgentState(self._backend)
        return self._state

    _state: AgentState | None = None

    def continue_as_new(self, **args: Any) -> None:
        """Begin anew as the same instance, with these arguments and an empty history.

        Children that live are cancelled, as at the end of this instance; `ctx.state` stays. Does
        not return.
        """
        with self._lock:
            self._backend.check()
            text = self._encode(args, "args")
            self._backend.leave(Continued(text))

    # --- what a `Step` asks ------------------------------------------------------------------

    def keep_step(self, place: Place, value: object) -> Any:
        """Record what a step brought; answers it as a later run will read it."""
        reached("step.acted")
        kept = self._keep(place, value, f"the result of step {place.name}")
        reached("step.recorded")
        return kept

    def fail_step(self, place: Place, error: Exception) -> StepFailed:
        """Record that a step failed for good."""
        fault = describe(error)
        del fault["traceback"]
        with self._lock:
            self._history.write(place.failure(fault))
            return self.fail_again(place, fault)

    def fail_again(self, place: Place, fault: dict[str, Any]) -> StepFailed:
        """The error for a step that is recorded as failed."""
        failed = StepFailed(place.name, fault)
        self._raised(place, failed)
        return failed

    def pause_before(self, place: Place, delay: float, failures: int) -> None:
        """Wait before the next try of a step, without a slot if that takes long."""
        if delay <= SHORT:
            self._backend.pause(delay)
        else:
            until = self._backend.now() + timedelta(seconds=delay)
            self._suspend_step(place, until, failures)

    def pause_until(self, place: Place, until: datetime, failures: int) -> None:
        """The same in a later run: the rest of it."""
        left = (until - self._backend.now()).total_seconds()
        if left > SHORT:
            self._suspend_step(place, until, failures)
        self._backend.pause(max(0.0, left))

    def _suspend_step(self, place: Place, until: datetime, failures: int) -> NoReturn:
        wait = self._wait_for(place, WaitKind.TIMER, until)
        self._suspend(place, wait, {"failures": failures})

    def _seed(self, place: Place) -> bytes:
        instance = self._backend.instance
        # One that does the work of another again finds that one's numbers in its journal.
        origin = instance.retry_of or instance.id
        return hashlib.sha256(f"{origin}:{instance.history}:{place.position}".encode()).digest()


class Step:
    """A step that is tried until it is done, in this run or with pauses in several."""

    def __init__(self, steps: Steps, place: Place) -> None:
        self._steps, self._place = steps, place
        self._value: Any = None
        self._failures = 0
        recorded, until = place.recorded, until_of(place)
        self.is_done = recorded is not None and until is None
        if recorded is not None and until is not None:
            self._failures = int(recorded.value["failures"])
            steps.pause_until(place, until, self._failures)
        elif recorded is not None and recorded.error is None:
            self._value = recorded.value

    def keep(self, value: object) -> None:
        """It went well."""
        self._value = self._steps.keep_step(self._place, value)
        self.is_done = True

    def fail(self, error: Exception, retry: RetryPolicy | None) -> None:
        """It raised: pause before it is tried again, or raise `StepFailed`."""
        self._failures += 1
        policy = retry or RetryPolicy.never()
        if not policy.allows(self._failures, error):
            raise self._steps.fail_step(self._place, error) from error
        self._steps.pause_before(self._place, policy.delay(self._failures), self._failures)

    def result(self) -> Any:
        """What it brought, now or before; raises what it failed with before."""
        recorded = self._place.recorded
        if recorded is not None and recorded.error is not None:
            raise self._steps.fail_again(self._place, recorded.error)
        return self._value

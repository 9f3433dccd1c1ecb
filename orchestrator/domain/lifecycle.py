"""The life of an instance as one table.

PostgreSQL guards the same table a second time (CHECK constraints and a trigger); the
documentation's diagram is generated from it; a test holds the three together.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """Where an instance is in its life."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """True for the states that never change again."""
        return self in TERMINAL


class Reason(StrEnum):
    """Why an instance is in its state, where the state alone does not say it."""

    #: the worker's lease ran out: it died, hung, or lost its connection
    LEASE_EXPIRED = "LEASE_EXPIRED"
    #: it was handed out, but no worker began it in time
    MESSAGE_LOST = "MESSAGE_LOST"
    #: it waited in line for longer than it was to
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    #: the worker was told to stop and handed the instance back
    WORKER_STOPPED = "WORKER_STOPPED"
    #: it showed no sign of progress for longer than it was to
    NO_PROGRESS = "NO_PROGRESS"
    #: an attempt failed and the retry policy allows another
    RETRY = "RETRY"
    #: it ran longer than its timeout
    TIMEOUT = "TIMEOUT"
    #: the agent raised and no attempt is left
    AGENT_ERROR = "AGENT_ERROR"
    #: the worker that received it does not have the agent's code
    AGENT_NOT_LOADED = "AGENT_NOT_LOADED"
    #: what the agent returned cannot be stored
    INVALID_RESULT = "INVALID_RESULT"
    #: a resource it called is stopped by its breaker
    BREAKER_OPEN = "BREAKER_OPEN"
    #: somebody asked for the cancellation
    CANCELLED = "CANCELLED"
    #: its parent ended before it did
    PARENT_ENDED = "PARENT_ENDED"
    #: its budget, or that of an instance above or of its session, was used up
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    #: it waits for other instances
    WAITING_FOR_CHILDREN = "WAITING_FOR_CHILDREN"
    #: it waits for a lock that another instance holds
    WAITING_FOR_LOCK = "WAITING_FOR_LOCK"
    #: it waits for a time
    WAITING_FOR_TIME = "WAITING_FOR_TIME"
    #: it waits for a message
    WAITING_FOR_MESSAGE = "WAITING_FOR_MESSAGE"
    #: it waits for a signal
    WAITING_FOR_SIGNAL = "WAITING_FOR_SIGNAL"
    #: something more urgent got its slot
    PREEMPTED = "PREEMPTED"
    #: it began anew with other arguments, as it asked
    CONTINUED = "CONTINUED"
    #: what it was to start after ended without a result
    DEPENDENCY_FAILED = "DEPENDENCY_FAILED"
    #: the attempt failed, and its session has tried again as often as it may
    RETRY_BUDGET_EXHAUSTED = "RETRY_BUDGET_EXHAUSTED"
    #: it was asked to stay out of line
    PAUSED = "PAUSED"
    #: its wait would never have ended, and no attempt is left
    DEADLOCK_DETECTED = "DEADLOCK_DETECTED"
    #: what it waited for is here
    RESUMED = "RESUMED"


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

#: From each state, the states that may follow. `dispatched` is known to the gate alone, so
#: PostgreSQL sees `queued -> running`; a stay in the same state is not a transition.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.DISPATCHED, State.RUNNING, State.CANCELLED, State.FAILED}),
    State.DISPATCHED: frozenset({State.RUNNING, State.QUEUED, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset(
        {State.COMPLETED, State.FAILED, State.CANCELLED, State.WAITING, State.QUEUED}
    ),
    State.WAITING: frozenset({State.QUEUED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}

#: The states a row in PostgreSQL can have.
STORED = tuple(state for state in State if state is not State.DISPATCHED)
LIVE = tuple(state for state in STORED if state not in TERMINAL)


def allowed(before: State, after: State) -> bool:
    """Whether an instance may go from one state to the other in one step."""
    return after in TRANSITIONS[before]


def stored_transitions() -> Iterable[tuple[State, State]]:
    """The transitions PostgreSQL has to let through, in a fixed order."""
    for before in STORED:
        for after in STORED:
            if allowed(before, after):
                yield before, after

"""What a state of the model is: PostgreSQL, the gate, and how far everybody has come.

The same variables as in `docs/model/Orchestrator.tla`, as tuples that can be hashed. Where the text
has a function of the instances, there is a pair here: of the parent, and of the child it may spawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

PARENT, CHILD = 0, 1
INSTANCES = (PARENT, CHILD)
NAMES = ("parent", "child")
WORKERS = 2
SLOTS = 1

#: States of rows; `ended` stands for completed and failed.
LIVE = frozenset({"queued", "running", "waiting"})
OVER = frozenset({"ended", "cancelled"})
#: Places of the gate that hold a slot.
HELD = frozenset({"admitted", "dispatched"})
#: Places whose lease runs out.
LEASED = HELD | {"reserved"}


class Gate(NamedTuple):
    """What Redis holds: one value for each instance, the slots, and the broker's messages."""

    open: bool = True
    #: somebody is at filling it
    filling: bool = False
    place: tuple[str, str] = ("none", "none")
    attempt: tuple[int, int] = (0, 0)
    #: was told to stop
    stop: tuple[bool, bool] = (False, False)
    #: the parent's wait for its child: `none`, `waits` or `over`, and of which attempt
    edge: tuple[str, int] = ("none", 0)
    #: the attempt of the parent that is not to fall asleep
    woken: int = 0
    slots: frozenset[int] = frozenset()
    messages: frozenset[tuple[int, int]] = frozenset()


class Worker(NamedTuple):
    """A worker process: what it does next, for which attempt of which instance."""

    at: str = "idle"
    instance: int = 0
    attempt: int = 0
    #: what it has seen, where its next step depends on it
    seen: bool = False


IDLE = Worker()
EMPTY = Gate(open=False)

#: The pieces of work of one that is at rest, and of one that is in the middle of something.
Task = tuple[object, ...]
REST: Task = ("idle",)


class State(NamedTuple):
    """Everything at one moment."""

    row: tuple[str, str] = ("none", "none")
    row_attempt: tuple[int, int] = (0, 0)
    gate: Gate = Gate()
    #: who spawns the parent
    client: str = "start"
    #: in a fixed order: one worker is as good as the other
    worker: tuple[Worker, ...] = (IDLE,) * WORKERS
    sweeper: Task = REST
    adopter: Task = REST
    rebuilder: Task = REST
    canceller: Task = ("ready",)
    #: how many faults have happened
    faults: int = 0
    #: whether one of them was a loss of slots: a late heartbeat, an emptied Redis
    disturbed: bool = False


def put(pair: Any, index: int, value: object) -> Any:
    """A pair with one of its values replaced."""
    return (*pair[:index], value, *pair[index + 1 :])


def at_work(state: State) -> list[Worker]:
    """Who runs code of an attempt that is its instance's newest and has not ended."""
    return [
        one
        for one in state.worker
        if one.at in RUNS
        and state.row[one.instance] == "running"
        and state.row_attempt[one.instance] == one.attempt
    ]


#: Where a worker is while the function of an agent runs or is being left.
RUNS = frozenset({"run", "look", "checked", "recorded", "leave"})


def plain(state: State) -> State:
    """The same state without what makes no difference to anybody any more."""
    gate = state.gate
    if gate.edge[1] != gate.attempt[PARENT] and gate.edge[1]:
        gate = gate._replace(edge=("none", 0))
    if gate.woken and gate.woken != gate.attempt[PARENT]:
        gate = gate._replace(woken=0)
    over = not LIVE.intersection(state.row) and state.client in ("done", "dead")
    canceller = ("done",) if over and state.canceller == ("ready",) else state.canceller
    return state._replace(gate=gate, canceller=canceller)

"""`Harness`: agents in a test, without servers, and with a clock that is turned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.agents.handle import Handle, failure_of
from orchestrator.domain.call import CallRecord
from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import OrchestratorError, ResultPending
from orchestrator.domain.instance import Instance, SpawnRequest
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.domain.message import MessageKind, Reach, Sent
from orchestrator.domain.progress import Progress
from orchestrator.engine import messages
from orchestrator.testing.cancelling import cancel
from orchestrator.testing.faults import Crash, refusal
from orchestrator.testing.row import Row
from orchestrator.testing.spawning import spawn
from orchestrator.testing.stage import Stage
from orchestrator.testing.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)


class StillWaiting(OrchestratorError):
    """Nothing is left to run, no time is left to pass, and the instance has not ended."""

    def __init__(self, instance: Instance, waiting: list[Instance]) -> None:
        lines = "".join(f"\n  {_told(one)}" for one in waiting)
        super().__init__(
            "STILL_WAITING",
            f"{instance.agent} {instance.id} goes on only if something happens in the test, such "
            f"as harness.signal(...). Not ended are:{lines}",
        )
        self.instance_id = instance.id


class Harness:
    """Runs agents on the thread of the test, one attempt at a time, with time that is not real.

    Every wait leaves the function, and runs it again from its top later; with `replay_always` so
    does every single operation, which finds any difference between two runs. `start` is the time
    at the beginning; `seed` decides what is left to chance, such as delays of retries.
    """

    def __init__(
        self,
        *,
        replay_always: bool = False,
        start: datetime = START,
        seed: int = 0,
        max_history: int = 50_000,
        max_payload_bytes: int = 262_144,
    ) -> None:
        self._world = World(start, seed)
        self._stage = Stage(
            self._world,
            replay_always=replay_always,
            max_history=max_history,
            max_payload_bytes=max_payload_bytes,
        )
        self._desk = _Desk(self._stage)

    # --- running ----------------------------------------------------------------------------

    def run(
        self,
        agent: str | Callable[..., Any],
        args: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Spawn an agent, by its name or its function, and answer its result.

        Whenever nothing can run, time jumps to where something can. Raises `AgentFailed` when it
        fails, whose `__cause__` is what its function raised, and `StillWaiting` when it waits for
        something that will not happen. `options` are those of `Orchestrator.spawn`.
        """
        return self.spawn(agent, args, **options).result()

    def spawn(
        self,
        agent: str | Callable[..., Any],
        args: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Handle:
        """Spawn an agent; nothing runs before the test lets it.

        That is what `work`, `advance` and the handle's `result` do.
        """
        request = SpawnRequest(self._stage.agents.name_of(agent), args or {}, **options)
        return Handle(spawn(self._world, self._stage.rules, [request])[0], self._desk)

    def work(self) -> None:
        """Run everything that can run now; no time passes."""
        self._stage.work()

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and run what happens meanwhile."""
        self._stage.advance(seconds)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done in so many seconds, as `lambda: harness.signal(...)`."""
        self._stage.later(seconds, action)

    def signal(self, to: Handle | str, name: str, value: Any = None) -> Sent:
        """Give an instance the signal that it asks for by `ctx.signal(name)`, now or later."""
        return self._desk.give_signal(_id_of(to), name, value)

    def send(self, to: Handle | str, body: Any) -> Sent:
        """Send an instance a message, which it gets by `ctx.receive()`."""
        return self._desk.send(_id_of(to), body)

    @property
    def now(self) -> datetime:
        """The time it is."""
        return self._world.now

    # --- what stands in, and what goes wrong ------------------------------------------------

    def stand_in(self, name: str, function: Callable[..., Any], **spec: Any) -> None:
        """Run `function(ctx, **args)` wherever the agent `name` is spawned.

        It may be a `def` or an `async def`, and needs no agent of that name. `spec` are fields of
        its registration, as `retry=RetryPolicy.never()`.
        """
        self._stage.agents.stand_in(name, function, spec)

    def crash(self, agent: str | Callable[..., Any], at: int, *, unrecorded: bool = False) -> Crash:
        """Let the worker die, once, when an instance of this agent gets to its operation `at`.

        Operations count from 0. With `unrecorded` that one is still done, but not recorded any
        more, so that it is done again: the moment that no system can do without. The answer's
        `has_happened` tells whether it got there.
        """
        crash = Crash(self._stage.agents.name_of(agent), at, unrecorded)
        self._stage.crashes.append(crash)
        return crash

    def refuse(
        self,
        resource: str,
        code: str = "RATE_LIMITED",
        *,
        retry_after: float | None = None,
        times: int | None = None,
    ) -> None:
        """Refuse calls of a resource: `times` of them, or all. Without this, all are free.

        An agent that lets the refusal of a breaker (`BREAKER_OPEN`) pass is put back in line for
        `retry_after` seconds, as always.
        """
        self._stage.refusals.append(refusal(resource, code, retry_after, times))

    # --- looking ----------------------------------------------------------------------------

    def get(self, instance_id: str) -> Instance:
        """An instance as it is now. Raises `InstanceNotFound`."""
        return self._world.row(instance_id).instance

    @property
    def instances(self) -> list[Instance]:
        """Every instance there ever was, oldest first."""
        return [row.instance for row in self._world.rows.values()]

    @property
    def spawned(self) -> list[tuple[str, dict[str, Any]]]:
        """Agent and arguments of every child, in the order of their spawns."""
        return [(one.agent, one.args) for one in self.instances if one.parent_id is not None]

    @property
    def calls(self) -> list[CallRecord]:
        """Every call of a resource that took place, with what it took, oldest first."""
        return list(self._stage.calls)

    def steps(self, instance_id: str) -> list[Entry]:
        """The journal of an instance: what it has done, by position."""
        return list(self._stage.journal(self._world.row(instance_id)))


class _Desk:
    """Where the handles of a harness ask; see `Desk`."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._world = stage, stage.world

    def result_for(self, instance_id: str, timeout: float | None) -> Any:
        """Run until it has ended, or until so much time has passed."""
        row = self._world.row(instance_id)
        self._run_until_ended(row, timeout)
        match row.instance.state:
            case State.COMPLETED:
                return row.instance.result
            case State.FAILED | State.CANCELLED:
                raise failure_of(row.instance) from row.exception
        raise ResultPending([instance_id], timeout or 0.0)

    def status_of(self, instance_id: str) -> State:
        """The state it is in."""
        return self._world.row(instance_id).instance.state

    def cancel(self, instance_id: str) -> CancelReport:
        """Cancel it with everything below."""
        return cancel(self._world, instance_id)

    def progress_of(self, instance_id: str) -> Progress | None:
        """What it told last."""
        told = self._world.row(instance_id).instance.progress
        return None if told is None else Progress.from_dict(told)

    def send(self, instance_id: str, body: Any) -> Sent:
        """Send a message."""
        return self._say(MessageKind.MESSAGE, instance_id, None, body)

    def give_signal(self, instance_id: str, name: str, value: Any) -> Sent:
        """Give a signal."""
        return self._say(MessageKind.SIGNAL, instance_id, name, value)

    def _say(self, kind: MessageKind, target: str, name: str | None, body: Any) -> Sent:
        rules = self._stage.rules
        new = messages.compose(rules, Reach.INSTANCE, body, kind=kind, target=target, name=name)
        return messages.send(rules, new)

    def _run_until_ended(self, row: Row, timeout: float | None) -> None:
        patience = None if timeout is None else self._world.now + timedelta(seconds=timeout)
        self._stage.work()
        while row.is_live:
            time = self._stage.next_time()
            if patience is not None and (time is None or time > patience):
                self._stage.jump(patience)
                return
            if time is None:
                raise StillWaiting(row.instance, self._live())
            self._stage.jump(time)

    def _live(self) -> list[Instance]:
        return [row.instance for row in self._world.rows.values() if row.is_live]


def _told(instance: Instance) -> str:
    wait = instance.wait
    if wait is None:
        return f"{instance.agent} {instance.id}: {instance.state}"
    what = f" {wait.name!r}" if wait.name else ""
    what += f" {', '.join(wait.targets)}" if wait.targets else ""
    return f"{instance.agent} {instance.id}: waits for {wait.kind}{what}"


def _id_of(to: Handle | str) -> str:
    return to.id if isinstance(to, Handle) else to

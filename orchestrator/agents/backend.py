"""What a `Context` stands on: the engine in a worker, or whatever stands in for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn, Protocol

from orchestrator.agents.call import CallDesk
from orchestrator.agents.mail import Mail, Values
from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.instance import Instance, Parent, SpawnRequest
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import Progress
from orchestrator.domain.waits import WaitNode
from orchestrator.engine import call, cancel, journal, lock, spawn, wait
from orchestrator.engine.deps import Deps
from orchestrator.engine.mail import RunMail, RunValues
from orchestrator.engine.running import HeldLock, Left, Run
from orchestrator.store.journal import Checkpoint


class Backend(CallDesk, Protocol):
    """One running attempt, as the operations of its agent need it."""

    @property
    def instance(self) -> Instance:
        """The instance as this attempt began it."""

    @property
    def max_payload_bytes(self) -> int:
        """Bytes of JSON that a recorded value may take."""

    @property
    def max_history(self) -> int:
        """Operations that one history may have."""

    @property
    def mail(self) -> Mail:
        """Its messages."""

    @property
    def values(self) -> Values:
        """What its session shares."""

    def check(self) -> None:
        """Leave the function if the attempt has to stop or is being left."""

    def leave(self, how: Left) -> NoReturn:
        """Leave the function, to be run again from its top."""

    def now(self) -> datetime:
        """The time by PostgreSQL's clock."""

    def pause(self, seconds: float) -> None:
        """Wait, keeping the slot; for short times only."""

    def load_journal(self) -> Sequence[Entry]:
        """What earlier runs have recorded."""

    def write_journal(self, entries: Sequence[Entry]) -> None:
        """Record these; leaves the function when this attempt may not write any more."""

    def spawn(self, requests: Sequence[SpawnRequest], positions: Sequence[int]) -> list[str]:
        """Spawn children, all or none; their ids."""

    def pending(self, ids: Sequence[str]) -> list[str]:
        """Those that have not ended. Raises `InstanceNotFound`."""

    def ended(self, ids: Sequence[str]) -> list[Instance]:
        """The instances, in the order of the ids."""

    def begin_wait(self, claim: str, pending: Sequence[str], needs: int) -> tuple[WaitNode, ...]:
        """Say for whom this waits; the circle of waits if that would never end, else nothing."""

    def take_lock(self, claim: str, name: str) -> HeldLock | None:
        """A lock of the tenant; None while others have it. Raises `DeadlockDetected`."""

    def free_lock(self, held: HeldLock) -> None:
        """Let go of a lock."""

    def state_of(self, instance_id: str) -> State:
        """The state of any instance."""

    def cancel(self, instance_id: str) -> CancelReport:
        """Cancel an instance and everything below it."""

    def tell(self, fraction: float | None, message: str) -> None:
        """Have everybody see how far this is, soon."""

    def progress_of(self, instance_id: str) -> Progress | None:
        """What an instance told last. Raises `InstanceNotFound`."""

    def checkpoint(self) -> Checkpoint:
        """What the agent has kept."""

    def keep(self, text: str) -> int:
        """Keep this JSON text of an object instead; its version."""


class EngineBackend(call.RunDesk):
    """The engine, for one attempt on a thread of this worker."""

    def __init__(self, deps: Deps, run: Run) -> None:
        super().__init__(deps, run)
        self.deps, self.run = deps, run
        self.mail = RunMail(deps, run)
        self.values = RunValues(deps, run)

    @property
    def instance(self) -> Instance:
        """See `Backend`."""
        return self.run.instance

    @property
    def max_payload_bytes(self) -> int:
        """See `Backend`."""
        return self.deps.max_payload_bytes

    @property
    def max_history(self) -> int:
        """See `Backend`."""
        return self.deps.max_history

    def check(self) -> None:
        """See `Backend`."""
        self.run.check()

    def leave(self, how: Left) -> NoReturn:
        """See `Backend`."""
        self.run.leave(how)

    def now(self) -> datetime:
        """See `Backend`."""
        return self.run.now(self.deps.store.clock)

    def pause(self, seconds: float) -> None:
        """See `Backend`."""
        self.run.stopped.wait(seconds)
        self.run.check()

    def load_journal(self) -> Sequence[Entry]:
        """See `Backend`."""
        return journal.load(self.deps, self.run)

    def write_journal(self, entries: Sequence[Entry]) -> None:
        """See `Backend`."""
        journal.write(self.deps, self.run, entries)

    def spawn(self, requests: Sequence[SpawnRequest], positions: Sequence[int]) -> list[str]:
        """See `Backend`."""
        parents = [self._parent_at(position) for position in positions]
        if len(requests) == 1:
            return [spawn.spawn(self.deps, requests[0], parents[0])]
        return spawn.spawn_many(self.deps, requests, parents)

    def pending(self, ids: Sequence[str]) -> list[str]:
        """See `Backend`."""
        return wait.pending(self.deps, ids)

    def ended(self, ids: Sequence[str]) -> list[Instance]:
        """See `Backend`."""
        return wait.instances(self.deps, ids)

    def begin_wait(self, claim: str, pending: Sequence[str], needs: int) -> tuple[WaitNode, ...]:
        """See `Backend`."""
        return wait.begin(self.deps, self.run, claim, pending, needs)

    def take_lock(self, claim: str, name: str) -> HeldLock | None:
        """See `Backend`."""
        return lock.ask(self.deps, self.run, claim, name)

    def free_lock(self, held: HeldLock) -> None:
        """See `Backend`."""
        lock.give_back(self.deps, self.run, held)

    def state_of(self, instance_id: str) -> State:
        """See `Backend`."""
        standing = self.deps.store.standings([instance_id]).get(instance_id)
        if standing is None:
            raise InstanceNotFound(instance_id)
        return standing.state

    def cancel(self, instance_id: str) -> CancelReport:
        """See `Backend`."""
        return cancel.cancel(self.deps, instance_id)

    def tell(self, fraction: float | None, message: str) -> None:
        """See `Backend`."""
        self.run.progress.tell(fraction, message, self.run.attempt)

    def progress_of(self, instance_id: str) -> Progress | None:
        """See `Backend`."""
        found = self.deps.store.get(instance_id)
        if found is None:
            raise InstanceNotFound(instance_id)
        return None if found.progress is None else Progress.from_dict(found.progress)

    def checkpoint(self) -> Checkpoint:
        """See `Backend`."""
        return self.deps.store.journal.checkpoint(self.run.id)

    def keep(self, text: str) -> int:
        """See `Backend`."""
        return journal.keep(self.deps, self.run, text)

    def _parent_at(self, position: int) -> Parent:
        instance = self.run.instance
        return Parent(
            id=instance.id,
            attempt=self.run.attempt,
            session=instance.session,
            tenant=instance.tenant,
            root_id=instance.root_id,
            depth=instance.depth,
            position=position,
        )

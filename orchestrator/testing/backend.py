"""What a `Context` stands on in a harness. See `Backend`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from orchestrator.admission.calls import Caller
from orchestrator.agents.history import is_inside_step
from orchestrator.domain.call import CallRecord, Outcome
from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import DeadlockDetected
from orchestrator.domain.instance import Instance, SpawnRequest
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import Progress
from orchestrator.domain.provider import Hint
from orchestrator.domain.waits import WaitNode
from orchestrator.engine.call import Wish
from orchestrator.engine.mail import RunMail, RunValues
from orchestrator.engine.running import HeldLock, Left, Run
from orchestrator.engine.wait import begin as begin_wait
from orchestrator.store.journal import Checkpoint
from orchestrator.testing.cancelling import cancel
from orchestrator.testing.faults import Died, Repeated
from orchestrator.testing.floors import find_circle
from orchestrator.testing.row import Row
from orchestrator.testing.spawning import spawn

if TYPE_CHECKING:
    from orchestrator.testing.stage import Stage


class VirtualBackend:
    """One attempt of an instance in a harness."""

    def __init__(self, stage: Stage, row: Row, run: Run) -> None:
        self._stage, self._world, self._row, self._run = stage, stage.world, row, run
        self.mail = RunMail(stage.rules, run)
        self.values = RunValues(stage.rules, run)
        #: the position of the next operation; there once there is a journal
        self.position: Callable[[], int] = lambda: 0

    @property
    def instance(self) -> Instance:
        """See `Backend`."""
        return self._run.instance

    @property
    def max_payload_bytes(self) -> int:
        """See `Backend`."""
        return self._stage.rules.max_payload_bytes

    @property
    def max_history(self) -> int:
        """See `Backend`."""
        return self._stage.rules.max_history

    # --- being left -------------------------------------------------------------------------

    def check(self) -> None:
        """See `Backend`. Here a test has its function left."""
        self._run.check()
        if is_inside_step():
            return
        position = self.position()
        if self._stage.crashes_at(self.instance.agent, position):
            self.leave(Died())
        if self._stage.replay_always:
            self.repeat_from(position)

    def repeat_from(self, position: int) -> None:
        """Leave the function when it has come further than any run before."""
        if position > self._row.repeated:
            self._row.repeated = position
            self.leave(Repeated())

    def leave(self, how: Left) -> NoReturn:
        """See `Backend`."""
        self._run.leave(how)

    # --- time -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """See `Backend`."""
        return self._world.now

    def pause(self, seconds: float) -> None:
        """See `Backend`. All others go on meanwhile."""
        self._stage.advance(seconds)
        self._run.check()

    # --- the journal ------------------------------------------------------------------------

    def load_journal(self) -> Sequence[Entry]:
        """See `Backend`."""
        return self._stage.journal(self._row)

    def write_journal(self, entries: Sequence[Entry]) -> None:
        """See `Backend`."""
        self._run.check()
        for entry in entries:
            if self._stage.crashes_at(self.instance.agent, entry.position, unrecorded=True):
                self.leave(Died())
        self._row.write(entries)

    def checkpoint(self) -> Checkpoint:
        """See `Backend`."""
        return self._row.checkpoint

    def keep(self, text: str) -> int:
        """See `Backend`."""
        self._run.check()
        version = self._row.checkpoint.version + 1
        self._row.checkpoint = Checkpoint(version, json.loads(text))
        return version

    # --- others -----------------------------------------------------------------------------

    def spawn(self, requests: Sequence[SpawnRequest], positions: Sequence[int]) -> list[str]:
        """See `Backend`."""
        self._run.check()
        return spawn(self._world, self._stage.rules, requests, self._row, positions)

    def pending(self, ids: Sequence[str]) -> list[str]:
        """See `Backend`."""
        return [one for one in ids if self._world.row(one).is_live]

    def ended(self, ids: Sequence[str]) -> list[Instance]:
        """See `Backend`."""
        return [self._world.row(one).instance for one in ids]

    def state_of(self, instance_id: str) -> State:
        """See `Backend`."""
        return self._world.row(instance_id).instance.state

    def cancel(self, instance_id: str) -> CancelReport:
        """See `Backend`."""
        return cancel(self._world, instance_id)

    def tell(self, fraction: float | None, message: str) -> None:
        """See `Backend`."""
        progress = Progress(fraction, message, self._world.now, self._run.attempt)
        self._row.set(progress=progress.to_dict())

    def progress_of(self, instance_id: str) -> Progress | None:
        """See `Backend`."""
        told = self._world.row(instance_id).instance.progress
        return None if told is None else Progress.from_dict(told)

    # --- waits and locks --------------------------------------------------------------------

    def begin_wait(self, claim: str, pending: Sequence[str], needs: int) -> tuple[WaitNode, ...]:
        """See `Backend`."""
        return begin_wait(self._stage.rules, self._run, claim, pending, needs)

    def take_lock(self, claim: str, name: str) -> HeldLock | None:
        """See `Backend`."""
        self._run.check()
        instance, who = self.instance, (self.instance.id, claim)
        held = self._world.locks.take(instance.tenant, name, who)
        if held is None:
            need = self._world.need_of_lock(instance, name)
            cycle = () if need is None else find_circle(self._world, instance.id, need)
            if cycle:
                self._world.locks.free(instance.tenant, name, who)
                raise DeadlockDetected(cycle)
        return held

    def free_lock(self, held: HeldLock) -> None:
        """See `Backend`."""
        who = (self.instance.id, held.claim)
        self._world.locks.free(self.instance.tenant, held.name, who)

    # --- calls ------------------------------------------------------------------------------

    def begin_call(self, wish: Wish) -> Caller:
        """See `CallDesk`."""
        self._run.check()
        self._stage.check_call(wish)
        call_id = self._world.new_id(wish.tenant)
        return Caller(call_id, wish.resource, wish.tenant, self.instance.id)

    def end_call(
        self, caller: Caller, wish: Wish, outcome: Outcome, used: Mapping[str, float], hint: Hint
    ) -> None:
        """See `CallDesk`."""
        instance, now = self.instance, self._world.now
        amounts = replace(wish.amounts, **dict(used))
        self._stage.calls.append(
            CallRecord(
                id=caller.id,
                resource=caller.resource,
                tenant=caller.tenant,
                outcome=outcome,
                amounts=amounts,
                started_at=now,
                ended_at=now,
                session=instance.session,
                instance_id=instance.id,
                attempt=self._run.attempt,
                agent=instance.agent,
            )
        )


class AsyncBackend(VirtualBackend):
    """One operation that has to wait does not end the run: other tasks may still do something."""

    def leave(self, how: Left) -> NoReturn:
        """See `Backend`."""
        raise how

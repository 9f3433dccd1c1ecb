"""Everything there is in a harness: its instances, its clock, and what follows from what."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator.domain.errors import InstanceNotFound
from orchestrator.domain.ids import partition_of
from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.engine.running import StopReason
from orchestrator.testing.circles import Need
from orchestrator.testing.locks import Locks
from orchestrator.testing.post import Post
from orchestrator.testing.row import Row
from orchestrator.testing.values import SharedValues


class World:
    """What PostgreSQL and the gate are to workers."""

    def __init__(self, start: datetime, seed: int) -> None:
        self.now = start
        self.rows: dict[str, Row] = {}
        self.locks = Locks()
        #: by tenant and idempotency key
        self.keys: dict[tuple[str, str], str] = {}
        self.post = Post(self)
        self.values = SharedValues(self)
        self.random = random.Random(seed)
        self._last_end = start
        self._turns = 0

    def new_id(self, tenant: str) -> str:
        """An id as real ones are, but the same in every run of a test."""
        milliseconds = int(self.now.timestamp() * 1000)
        value = milliseconds << 80 | 0x7000 << 64 | 0b10 << 62
        value |= self.next_turn() << 8 | partition_of(tenant)
        return str(uuid.UUID(int=value))

    def next_turn(self) -> int:
        """A number greater than any before."""
        self._turns += 1
        return self._turns

    def row(self, instance_id: str) -> Row:
        """The row; raises `InstanceNotFound`."""
        row = self.rows.get(instance_id)
        if row is None:
            raise InstanceNotFound(instance_id)
        return row

    def children(self, parent_id: str) -> Iterator[Row]:
        """What an instance has spawned, oldest first."""
        return (row for row in self.rows.values() if row.instance.parent_id == parent_id)

    def subtree(self, top: Row) -> list[Row]:
        """An instance and everything below it."""
        return [top, *(row for child in self.children(top.id) for row in self.subtree(child))]

    # --- ends -------------------------------------------------------------------------------

    def end(self, row: Row, state: State, reason: Reason | None = None, **changes: object) -> None:
        """Bring an instance to its end, and with it what must not outlive it."""
        self._close(row, state, reason, **changes)
        for child in list(self.children(row.id)):
            stays = child.instance.detached or child.instance.on_parent_end == "detach"
            if child.is_live and not stays:
                self.cancel(child, Reason.PARENT_ENDED)

    def cancel(self, row: Row, reason: Reason = Reason.CANCELLED) -> list[str]:
        """Cancel an instance and everything below it; the ids that were live."""
        if not row.is_live:
            return []
        self._close(row, State.CANCELLED, reason)
        ended = [row.id]
        for child in list(self.children(row.id)):
            if not child.instance.detached:
                ended += self.cancel(child, Reason.PARENT_ENDED)
        return ended

    def _close(self, row: Row, state: State, reason: Reason | None, **changes: object) -> None:
        # A little later than the one before, so that the order of ends can be told.
        self._last_end = max(self.now, self._last_end + timedelta(microseconds=1))
        row.set(state=state, reason=reason, wait=None, ended_at=self._last_end, **changes)
        self.locks.free_all(row.id)
        if row.run is not None:
            row.run.stop(StopReason.CANCELLED)

    def take_back(self, row: Row, rewind: Rewind) -> None:
        """Forget a part of a journal: the next attempt does it again."""
        row.steps = {at: one for at, one in row.steps.items() if at < rewind.position}
        row.repeated = min(row.repeated, rewind.position)
        self.post.take_back(row, rewind.position)
        for child in list(self.children(row.id)):
            is_after = child.position is not None and child.position >= rewind.position
            if is_after or child.id in rewind.children:
                child.set(superseded=True)
                self.cancel(child, Reason.PARENT_ENDED)

    # --- whose turn it is -------------------------------------------------------------------

    def next_ready(self) -> Row | None:
        """Whoever may run now: the most urgent, those that were left first, then by age."""
        ready = [row for row in self.rows.values() if row.run is None and self._is_ready(row)]
        return min(ready, key=_order, default=None)

    def next_time(self) -> datetime | None:
        """When something happens by itself."""
        times = [time for row in self.rows.values() if (time := _time_of(row)) is not None]
        return min((time for time in times if time > self.now), default=None)

    def _is_ready(self, row: Row) -> bool:
        instance = row.instance
        if instance.state is State.WAITING:
            assert instance.wait is not None
            return self.is_over(instance, instance.wait)
        if instance.state is not State.QUEUED:
            return False
        is_early = instance.not_before is not None and instance.not_before > self.now
        return not is_early and not self._pending_dependencies(instance)

    def is_over(self, instance: Instance, wait: Wait) -> bool:
        """Whether what an instance waits for is here."""
        if wait.until is not None and wait.until <= self.now:
            return True
        live = [one for one in wait.targets if self.row(one).is_live]
        match wait.kind:
            case WaitKind.ENDED:
                return len(live) <= len(wait.targets) - wait.needs
            case WaitKind.LOCK:
                return self.locks.holder(instance.tenant, wait.name) == instance.id
            case WaitKind.TIMER:
                return False
        is_alone = bool(wait.targets) and not live
        return is_alone or self.post.has(instance.id, wait.kind, wait.name)

    def _pending_dependencies(self, instance: Instance) -> bool:
        if instance.attempt or instance.depends_on is None:
            return False
        return any(self.row(one).is_live for one in instance.depends_on.ids)

    # --- who waits for whom -----------------------------------------------------------------

    def need_of(self, instance_id: str) -> Need | None:
        """What an instance waits for of others; None where it can go on by itself."""
        instance = self.row(instance_id).instance
        wait = instance.wait
        if instance.state is not State.WAITING or wait is None or self.is_over(instance, wait):
            return None
        if wait.kind is WaitKind.LOCK:
            return self.need_of_lock(instance, wait.name)
        live = tuple(one for one in wait.targets if self.row(one).is_live)
        if not live:
            return None
        return Need(live, wait.needs - (len(wait.targets) - len(live)))

    def need_of_lock(self, instance: Instance, name: str) -> Need | None:
        """What one who asks for a lock waits for."""
        holder = self.locks.holder(instance.tenant, name)
        return None if holder is None else Need((holder,), 1, lock=name)


def _order(row: Row) -> tuple[int, bool, int]:
    return row.instance.priority, row.instance.attempt == 0, row.turn


def _time_of(row: Row) -> datetime | None:
    instance = row.instance
    if instance.state is State.WAITING and instance.wait is not None:
        return instance.wait.until
    return instance.not_before if instance.state is State.QUEUED else None

"""A spawned instance, as the one who spawned it holds it."""

from __future__ import annotations

from typing import Any, Protocol

from orchestrator.domain.cancel import CancelReport
from orchestrator.domain.errors import AgentCancelled, AgentFailed, PayloadErased
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import State
from orchestrator.domain.message import Sent
from orchestrator.domain.payload import ERASED
from orchestrator.domain.progress import Progress


class Desk(Protocol):
    """Where a handle asks; differs inside and outside of agents."""

    def result_for(self, instance_id: str, timeout: float | None) -> Any:
        """What it returned, once it has; raises as `Handle.result` does."""

    def status_of(self, instance_id: str) -> State:
        """The state now."""

    def cancel(self, instance_id: str) -> CancelReport:
        """Cancel with everything below; answers what became of each."""

    def progress_of(self, instance_id: str) -> Progress | None:
        """What it told last of how far it is."""

    def send(self, instance_id: str, body: Any) -> Sent:
        """Send a message."""

    def give_signal(self, instance_id: str, name: str, value: Any) -> Sent:
        """Give a signal."""


class Handle:
    """One instance. It holds nothing but the id, so it can be made again from it at any time."""

    def __init__(self, instance_id: str, desk: Desk) -> None:
        self.id = instance_id
        self._desk = desk

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def result(self, timeout: float | None = None) -> Any:
        """What the agent returned, waiting up to `timeout` seconds for it (None: for ever).

        Raises `AgentFailed` or `AgentCancelled` when it ended otherwise, and `ResultPending`
        when it has not ended yet; it goes on undisturbed then.
        """
        return self._desk.result_for(self.id, timeout)

    def status(self) -> State:
        """The state the instance is in now."""
        return self._desk.status_of(self.id)

    def cancel(self) -> CancelReport:
        """Cancel the instance and everything below it; answers what became of each."""
        return self._desk.cancel(self.id)

    def progress(self) -> Progress | None:
        """What the instance told last of how far it is; None if it told nothing."""
        return self._desk.progress_of(self.id)

    def send(self, body: Any) -> Sent:
        """Send a message, a JSON value, which the instance gets by `ctx.receive()`.

        Raises `MessageRefused`, as when the instance has ended.
        """
        return self._desk.send(self.id, body)

    def signal(self, name: str, value: Any = None) -> Sent:
        """Give the signal that the instance asks for by `ctx.signal(name)`, now or later."""
        return self._desk.give_signal(self.id, name, value)


def result_of(instance: Instance) -> Any:
    """The result of an ended instance, or its failure raised."""
    if instance.state is State.COMPLETED:
        if instance.result == ERASED:
            raise PayloadErased(instance.id)
        return instance.result
    raise failure_of(instance)


def failure_of(instance: Instance) -> AgentFailed | AgentCancelled:
    """How an instance ended without a result."""
    reason = instance.reason or str(instance.state)
    if instance.state is State.CANCELLED:
        return AgentCancelled(instance.id, instance.agent, reason)
    return AgentFailed(instance.id, instance.agent, reason, instance.error)

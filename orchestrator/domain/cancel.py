"""What became of each instance of a subtree that was cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from orchestrator.domain.lifecycle import State


class CancelOutcome(StrEnum):
    """What a cancellation found and did."""

    #: it was in line or waiting: nothing of it runs
    ENDED = "ended"
    #: its row has ended; its code was running, and was told to stop
    STOPPING = "stopping"
    #: its code has stopped: at one of its calls, or by returning
    STOPPED = "stopped"
    #: its code had to be broken into
    INTERRUPTED = "interrupted"
    #: its code did not end within the grace; it was left to itself, without its slot
    ABANDONED = "abandoned"
    #: nobody knows how its code ended: its worker died, or the gate lost it
    LOST = "lost"
    #: it had ended before
    HAD_ENDED = "had ended"
    #: it lives on: it, or one above it, was spawned to outlive its parent
    DETACHED = "detached"


@dataclass(frozen=True)
class CancelledNode:
    """One instance of the subtree."""

    id: str
    agent: str
    #: None for a root
    parent_id: str | None
    #: the state it was in; of one that had ended, in which it is
    before: State
    outcome: CancelOutcome


@dataclass(frozen=True)
class CancelReport:
    """The subtree of a cancellation, oldest first: the instance that was named is the first."""

    nodes: tuple[CancelledNode, ...]

    @property
    def cancelled(self) -> tuple[str, ...]:
        """The ids that were live until this cancellation ended them; none if it came too late."""
        kept = (CancelOutcome.HAD_ENDED, CancelOutcome.DETACHED)
        return tuple(node.id for node in self.nodes if node.outcome not in kept)

    @property
    def stopping(self) -> tuple[str, ...]:
        """The ids whose code was told to stop, and is not known to have done so."""
        return tuple(node.id for node in self.nodes if node.outcome is CancelOutcome.STOPPING)

    def counts(self) -> dict[str, int]:
        """How many there are of each outcome that there is."""
        found = [node.outcome for node in self.nodes]
        return {str(one): found.count(one) for one in CancelOutcome if one in found}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {"cancelled": list(self.cancelled), "nodes": [asdict(node) for node in self.nodes]}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The report that `to_dict` wrote."""
        return cls(
            tuple(
                CancelledNode(
                    **node
                    | {
                        "before": State(node["before"]),
                        "outcome": CancelOutcome(node["outcome"]),
                    }
                )
                for node in value["nodes"]
            )
        )


def outcome_of(before: State, was_ended: bool, is_terminal: bool) -> CancelOutcome:
    """What a cancellation did to an instance that it found in a state."""
    if was_ended:
        return CancelOutcome.STOPPING if before is State.RUNNING else CancelOutcome.ENDED
    return CancelOutcome.HAD_ENDED if is_terminal else CancelOutcome.DETACHED


#: How a worker says that an attempt has left, as its event has it -> the outcome.
HOW_STOPPED = {
    "left": CancelOutcome.STOPPED,
    "interrupted": CancelOutcome.INTERRUPTED,
    "abandoned": CancelOutcome.ABANDONED,
}


def with_stops(report: CancelReport, stops: Sequence[tuple[str, CancelOutcome]]) -> CancelReport:
    """The report, once it is known how some of its attempts have stopped."""
    known = dict(stops)
    return CancelReport(
        tuple(
            CancelledNode(
                node.id,
                node.agent,
                node.parent_id,
                node.before,
                known.get(node.id, node.outcome),
            )
            if node.outcome is CancelOutcome.STOPPING
            else node
            for node in report.nodes
        )
    )

"""Evidence by what one looks it up by."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.rules.evidence import Accepted, Evidence, Row
from tests.rules.gate_view import Place

#: An attempt of an instance.
Attempt = tuple[str, int]

#: An attempt that ended so was cut off, or broken into: what it did last may not be recorded.
LOST = frozenset({"LEASE_EXPIRED", "MESSAGE_LOST"})
BROKEN = frozenset(
    {"PREEMPTED", "WORKER_STOPPED", "PAUSED", "TIMEOUT", "CANCELLED", "PARENT_ENDED"}
    | {"BUDGET_EXCEEDED"}
)


@dataclass(frozen=True)
class Books:
    """The rows and events of some evidence, by instance and by attempt."""

    rows: Mapping[str, Row]
    #: (tenant, idempotency key) -> instance
    keys: Mapping[tuple[str, str], str]
    #: instance -> those it has spawned
    children: Mapping[str, Sequence[str]]
    #: the events of each instance in order
    trails: Mapping[str, Sequence[Row]]
    #: each attempt that began -> when, in seconds since the epoch
    begun: Mapping[Attempt, float]
    #: attempts that were lost, and those that were broken into as well
    lost: frozenset[Attempt]
    cut_off: frozenset[Attempt]

    @classmethod
    def of(cls, evidence: Evidence) -> Books:
        """The books of this evidence."""
        by_instance: defaultdict[str, list[Row]] = defaultdict(list)
        for event in evidence.events:
            by_instance[event["instance_id"]].append(event)
        children: defaultdict[str, list[str]] = defaultdict(list)
        for row in evidence.instances:
            if row["parent_id"] is not None:
                children[row["parent_id"]].append(row["id"])
        return cls(
            children=children,
            rows={row["id"]: row for row in evidence.instances},
            keys={
                (row["tenant"], row["idempotency_key"]): row["id"]
                for row in evidence.instances
                if row.get("idempotency_key") is not None
            },
            trails=by_instance,
            begun={
                (event["instance_id"], event["attempt"]): event["at"].timestamp()
                for event in evidence.events
                if event["to_state"] == "running"
            },
            lost=_ended_by(evidence, LOST),
            cut_off=_ended_by(evidence, LOST | BROKEN),
        )

    def limit(self, evidence: Evidence, scope: tuple[str, str]) -> int | None:
        """How many slots a scope has; None where there is no bound."""
        if scope in evidence.special:
            return evidence.special[scope]
        limits = evidence.limits
        return {
            "session": limits.session_concurrency,
            "tenant": limits.tenant_concurrency,
            "pool": limits.pool_concurrency,
            "global": limits.global_concurrency,
        }.get(scope[0])

    def was_adopted(self, place: Place | None, instance: str) -> bool:
        """Whether its attempt was running before it got its slot."""
        if place is None or place.held_since is None:
            return False
        began = self.begun.get((instance, place.attempt))
        return began is not None and began * 1000 < place.held_since

    def spawned_below(self, instance: str) -> int:
        """How many spawns were ever made below an instance."""
        mine = self.children.get(instance, ())
        return len(mine) + sum(self.spawned_below(one) for one in mine)

    def wrong_result(self, accepted: Accepted) -> str | None:
        """What is wrong with the result that an accepted spawn has in the end."""
        row = self.rows.get(accepted.instance)
        if row is None or row["state"] != "completed" or accepted.result is None:
            return None
        found, wanted = row["result"], json.loads(accepted.result)
        return None if found == wanted else f"answered {found!r:.200}, not {wanted!r:.200}"

    def may_outlive(self, row: Row, parent: Row) -> bool:
        """Whether a child may go on when this parent has ended."""
        if row["detached"]:
            return bool(parent["reason"] != "BUDGET_EXCEEDED")
        by_itself = parent["state"] != "cancelled" and parent["reason"] != "BUDGET_EXCEEDED"
        return bool(by_itself and row["on_parent_end"] == "detach")


def _ended_by(evidence: Evidence, reasons: frozenset[str]) -> frozenset[Attempt]:
    return frozenset(
        (event["instance_id"], event["attempt"])
        for event in evidence.events
        if event["reason"] in reasons
    )

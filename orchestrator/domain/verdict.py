"""The gate's answer to a spawn: one vocabulary for the whole product."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.errors import SpawnRefused


class Decision(StrEnum):
    """The three answers."""

    ADMITTED = "admitted"
    QUEUED = "queued"
    REFUSED = "refused"


class Refusal(StrEnum):
    """Why the gate says no."""

    MAX_DEPTH_EXCEEDED = "MAX_DEPTH_EXCEEDED"
    CONCURRENT_LIMIT = "CONCURRENT_LIMIT"
    QUEUE_FULL = "QUEUE_FULL"
    PARENT_ENDED = "PARENT_ENDED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    BREAKER_OPEN = "BREAKER_OPEN"


@dataclass(frozen=True)
class Verdict:
    """What the gate decided about one spawn."""

    decision: Decision
    #: why it was refused
    refusal: Refusal | None = None
    #: which bound was met: `depth`, `session`, `tenant`, `pool`, `global`, or `workers` for
    #: what the live workers of the pool offer; `breaker`; for a budget its quantity: `tokens`,
    #: `usd`, `spawns`, `live`, `depth` or `deadline`
    scope: str = ""
    limit: float | None = None
    current: float | None = None
    #: seconds after which the same spawn may be admitted; None when no waiting helps
    retry_after: float | None = None
    #: whose budget was met: `session <name>` or `instance <id>`
    budget: str = ""
    #: how much was asked of it
    asked: float | None = None
    #: ids of some who hold what is lacking
    holders: tuple[str, ...] = ()

    def to_error(self) -> SpawnRefused:
        """The refusal as the exception that callers meet."""
        assert self.refusal is not None
        key = "NO_WORKER" if self.scope == "workers" and not self.limit else self.refusal
        if self.refusal is Refusal.BUDGET_EXCEEDED:
            key = f"BUDGET_{self.scope}" if f"BUDGET_{self.scope}" in _WORDS else key
        return SpawnRefused(
            self.refusal,
            _WORDS[key].format(verdict=self),
            limit=self.limit,
            current=self.current,
            retry_after=self.retry_after,
            scope=self.scope,
            holders=self.holders,
        )


_WORDS: dict[str, str] = {
    "NO_WORKER": (
        "No live worker offers a slot to this pool. Start one (`orchestrator worker`), or spawn "
        'with on_limit="queue" to wait for one.'
    ),
    Refusal.MAX_DEPTH_EXCEEDED: (
        "This spawn would stand at depth {verdict.current}; at most {verdict.limit} is allowed. "
        "Let an agent nearer to the root spawn it, or raise ORCHESTRATOR_LIMITS__MAX_DEPTH."
    ),
    Refusal.CONCURRENT_LIMIT: (
        "{verdict.current} of {verdict.limit} slots ({verdict.scope}) are in use. Repeat "
        'after {verdict.retry_after:g} s, or spawn with on_limit="queue" to wait in line.'
    ),
    Refusal.QUEUE_FULL: (
        "The queue of the {verdict.scope} is full: {verdict.current} of {verdict.limit} wait. "
        "Repeat after {verdict.retry_after:g} s."
    ),
    "BUDGET_deadline": (
        "The deadline of the budget of {verdict.budget} has passed; nothing new starts below it."
    ),
    "BUDGET_depth": (
        "The budget of {verdict.budget} lets {verdict.limit:g} levels stand below its owner; this "
        "spawn would stand {verdict.current:g} below."
    ),
    "BUDGET_live": (
        "The budget of {verdict.budget} lets {verdict.limit:g} instances be live at once, and "
        "{verdict.current:g} are. Spawn again when some have ended."
    ),
    Refusal.BUDGET_EXCEEDED: (
        "The budget of {verdict.budget} has not enough {verdict.scope} left: {verdict.current:g} "
        "of {verdict.limit:g} are taken, and {verdict.asked:g} more were asked for. Ask for less, "
        "or raise the budget (`orchestrator budget` shows it)."
    ),
    Refusal.BREAKER_OPEN: (
        "A resource that this agent calls is stopped by its breaker (`orchestrator breakers`). "
        'Repeat after {verdict.retry_after:g} s, or spawn with on_limit="queue" to wait in line.'
    ),
    Refusal.PARENT_ENDED: (
        "The parent of this spawn has ended or is being stopped; it can have no more children."
    ),
}

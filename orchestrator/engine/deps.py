"""What every verb is given first."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.admission.gate import Gate
from orchestrator.domain.limits import Limits
from orchestrator.domain.priority import Priority
from orchestrator.domain.retry import RetryBudget
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.endings import Endings
from orchestrator.engine.open_calls import OpenCalls
from orchestrator.store.store import Store
from orchestrator.transport.notify import Notifier


@dataclass(frozen=True)
class Deps:
    """The floors below and the few numbers that verbs need."""

    store: Store
    gate: Gate
    notifier: Notifier
    catalogue: Catalogue
    calls: OpenCalls
    limits: Limits
    #: bytes of JSON that arguments or a result may take
    max_payload_bytes: int
    #: operations that one history of an instance may have
    max_history: int
    #: seconds an attempt may take when neither spawn nor agent says it
    default_timeout: float
    #: seconds a slot is held without a heartbeat
    lease: float
    #: seconds a handed-out instance may take until a worker begins it
    dispatch: float
    #: seconds an attempt that was told to stop may take before it is abandoned
    stop_grace: float = 10.0
    #: who gives way in a deadlock: `closer`, `youngest` or `lowest_priority`
    deadlock_victim: str = "closer"
    #: whether messages leave by a relay instead of the gate's own Redis
    outbox: bool = False
    #: seconds after which a class that gets no turn is raised, and what shares are counted in
    aging: float = 30.0
    fair_unit: str = "slot_seconds"
    #: seconds for which messages are kept at least
    message_retention: float = 30 * 86_400.0
    #: seconds for which the audit trail is kept at least; None: for ever
    audit_retention: float | None = None
    #: how often a session may try again
    retries: RetryBudget = field(default_factory=RetryBudget)
    #: instances of this class and of more urgent ones may displace others; None: nobody may
    preempt_from: Priority | None = Priority.CRITICAL
    #: how attempts of this process have ended that PostgreSQL does not know of yet
    endings: Endings = field(default_factory=Endings)

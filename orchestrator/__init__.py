"""A backend for trees of AI agents: spawn, limit, wait, recover.

Everything a user needs is here; what is not listed in `__all__` is not for use.
"""

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.call import Call
from orchestrator.agents.context import Context
from orchestrator.agents.handle import Handle
from orchestrator.agents.http import http_agent
from orchestrator.agents.llm import llm_agent
from orchestrator.agents.lock import Lock
from orchestrator.agents.programs import process_agent
from orchestrator.agents.registry import agent
from orchestrator.agents.shared import AsyncShared, Shared
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.client.session import Session
from orchestrator.config.settings import Settings
from orchestrator.domain.budget import Budget, BudgetState, BudgetUse
from orchestrator.domain.call import Breaker
from orchestrator.domain.cancel import CancelledNode, CancelOutcome, CancelReport
from orchestrator.domain.errors import (
    AgentCancelled,
    AgentFailed,
    CallRefused,
    ConfigurationError,
    DeadlockDetected,
    GateUnavailable,
    HistoryTooLong,
    InstanceNotFound,
    InvalidRequest,
    InvalidSpawn,
    MessageRefused,
    NonDeterministicAgent,
    NothingReceived,
    OrchestratorError,
    PayloadErased,
    ResultPending,
    SchemaOutdated,
    SpawnRefused,
    StepFailed,
    StoreUnavailable,
    Unavailable,
    VersionConflict,
)
from orchestrator.domain.explanation import Constraint, Explanation
from orchestrator.domain.instance import Event, Instance, SpawnRequest, TreeNode
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.limits import LimitChange, LimitForecast, Limits, LimitState
from orchestrator.domain.message import Delivery, Message, MessageKind, Sent
from orchestrator.domain.pause import PauseReport
from orchestrator.domain.priority import Priority
from orchestrator.domain.progress import Progress
from orchestrator.domain.queue import QueueRow, QueueState
from orchestrator.domain.resource import BreakerPolicy, Resource
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.shared import SharedValue
from orchestrator.domain.waits import Stall, WaitNode

__all__ = [
    "AgentCancelled",
    "AgentFailed",
    "AsyncContext",
    "AsyncShared",
    "Breaker",
    "BreakerPolicy",
    "Budget",
    "BudgetState",
    "BudgetUse",
    "Call",
    "CallRefused",
    "CancelOutcome",
    "CancelReport",
    "CancelledNode",
    "ConfigurationError",
    "Constraint",
    "Context",
    "DeadlockDetected",
    "Delivery",
    "Event",
    "Explanation",
    "GateUnavailable",
    "Handle",
    "HistoryTooLong",
    "Instance",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSpawn",
    "LimitChange",
    "LimitForecast",
    "LimitState",
    "Limits",
    "Lock",
    "Message",
    "MessageKind",
    "MessageRefused",
    "NonDeterministicAgent",
    "NothingReceived",
    "Orchestrator",
    "OrchestratorError",
    "PauseReport",
    "PayloadErased",
    "Priority",
    "Progress",
    "QueueRow",
    "QueueState",
    "Reason",
    "Resource",
    "ResultPending",
    "RetryPolicy",
    "SchemaOutdated",
    "Sent",
    "Session",
    "Settings",
    "Shared",
    "SharedValue",
    "SpawnRefused",
    "SpawnRequest",
    "Stall",
    "State",
    "StepFailed",
    "StoreUnavailable",
    "TreeNode",
    "Unavailable",
    "VersionConflict",
    "WaitNode",
    "agent",
    "http_agent",
    "llm_agent",
    "process_agent",
]

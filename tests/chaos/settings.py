"""Limits that matter and times that are short, for everybody in the suite."""

from __future__ import annotations

from orchestrator.domain.limits import Limits

#: Seconds. Short, so that many deaths fit into a minute; the ratios are the default's.
LEASE, HEARTBEAT, DISPATCH = 3.0, 0.5, 4.0
LIMITS = Limits(
    max_depth=5,
    session_concurrency=4,
    tenant_concurrency=12,
    pool_concurrency=20,
    global_concurrency=28,
)
#: What each worker process runs at once.
CONCURRENCY = 8

ENVIRONMENT = {
    "ORCHESTRATOR_HEARTBEAT": str(HEARTBEAT),
    "ORCHESTRATOR_LEASE": str(LEASE),
    "ORCHESTRATOR_DISPATCH_TIMEOUT": str(DISPATCH),
    "ORCHESTRATOR_SWEEP_EVERY": "0.5",
    "ORCHESTRATOR_REAP_EVERY": "2",
    "ORCHESTRATOR_RECONCILE_EVERY": "2",
    "ORCHESTRATOR_CANARY": "2",
    "ORCHESTRATOR_SHUTDOWN_GRACE": "1",
    "ORCHESTRATOR_STOP_GRACE": "3",
    "ORCHESTRATOR_TASK_EVENTS": "false",
    # Everything fails here once; no session is to give up for that.
    "ORCHESTRATOR_RETRY_BUDGET_FLOOR": "1000000",
    "ORCHESTRATOR_LIMITS__MAX_DEPTH": str(LIMITS.max_depth),
    "ORCHESTRATOR_LIMITS__SESSION_CONCURRENCY": str(LIMITS.session_concurrency),
    "ORCHESTRATOR_LIMITS__TENANT_CONCURRENCY": str(LIMITS.tenant_concurrency),
    "ORCHESTRATOR_LIMITS__POOL_CONCURRENCY": str(LIMITS.pool_concurrency),
    "ORCHESTRATOR_LIMITS__GLOBAL_CONCURRENCY": str(LIMITS.global_concurrency),
}

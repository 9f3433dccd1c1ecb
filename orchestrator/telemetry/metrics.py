"""Every metric, as a table: name, type, labels, meaning. docs/reference/metrics.md is made from it.

Metrics of events are counted in the process in which they happen and scraped there; those of the
whole (`CLUSTER`) are read from gate and PostgreSQL when they are asked for, by whichever process
serves them. Durations are seconds.
"""

from __future__ import annotations

from orchestrator.telemetry.instruments import Metric

# --- spawning -----------------------------------------------------------------------------

SPAWN_SECONDS = Metric(
    "orchestrator_spawn_seconds",
    "histogram",
    "from the call of spawn to its answer, by that answer: accepted, refused or failed",
    ("answer",),
)
ADMISSION_SECONDS = Metric(
    "orchestrator_admission_seconds",
    "histogram",
    "the gate's decision alone: one script",
)
VERDICTS = Metric(
    "orchestrator_verdicts_total",
    "counter",
    "decisions of the gate on spawns; the code says why one was refused",
    ("decision", "code", "tenant"),
)

# --- running ------------------------------------------------------------------------------

QUEUE_WAIT_SECONDS = Metric(
    "orchestrator_queue_wait_seconds",
    "histogram",
    "from being accepted to the begin of the first attempt",
    ("pool", "priority"),
)
RUN_SECONDS = Metric(
    "orchestrator_run_seconds",
    "histogram",
    "from the begin of an attempt until its function was left",
    ("agent", "outcome"),
)
ATTEMPTS = Metric(
    "orchestrator_attempts_total",
    "counter",
    "attempts by how they were left; the reason says why, where there is one",
    ("pool", "outcome", "reason"),
)
RUNNING = Metric(
    "orchestrator_worker_running",
    "gauge",
    "attempts that this worker process runs now",
)
REPLAYED = Metric(
    "orchestrator_replayed_entries_total",
    "counter",
    "recorded operations that attempts were given back instead of doing them again",
)
STEPS = Metric(
    "orchestrator_journal_entries_total",
    "counter",
    "operations recorded, by kind: step, call, receive, ...",
    ("kind",),
)
MESSAGES = Metric(
    "orchestrator_messages_total",
    "counter",
    "messages between agents that were sent from here, by kind",
    ("kind",),
)

# --- resources ----------------------------------------------------------------------------

CALL_WAIT_SECONDS = Metric(
    "orchestrator_call_wait_seconds",
    "histogram",
    "how long a call of a resource waited for its turn",
    ("resource",),
)
CALL_SECONDS = Metric(
    "orchestrator_call_seconds",
    "histogram",
    "how long a call of a resource took, by how it ended",
    ("resource", "outcome"),
)
USED = Metric(
    "orchestrator_resource_used_total",
    "counter",
    "what calls have used, after they were settled: requests, tokens, money",
    ("resource", "quantity", "tenant", "agent"),
)

# --- keeping house ------------------------------------------------------------------------

HEARTBEATS = Metric(
    "orchestrator_heartbeats_total",
    "counter",
    "heartbeats of this worker, by whether they got through",
    ("result",),
)
HEARTBEAT_SECONDS = Metric(
    "orchestrator_heartbeat_seconds",
    "histogram",
    "how long a heartbeat took, gate and PostgreSQL together",
)
ROUND_SECONDS = Metric(
    "orchestrator_housekeeping_seconds",
    "histogram",
    "how long a round of housekeeping took",
    ("round",),
)
ROUND_ACTIONS = Metric(
    "orchestrator_housekeeping_actions_total",
    "counter",
    "what rounds of housekeeping have done: requeued, forgotten, orphans, adopted, ...",
    ("round", "action"),
)

#: All that processes count.
EVENTS = tuple(one for one in globals().values() if isinstance(one, Metric))

# --- the whole, read when asked for -------------------------------------------------------

INSTANCES = Metric(
    "orchestrator_instances",
    "gauge",
    "live instances by where the gate has them: queued, delayed, running, waiting, paused",
    ("pool", "place"),
)
TENANT_INSTANCES = Metric(
    "orchestrator_tenant_instances",
    "gauge",
    "the same by tenant, for the tenants with most of them; the rest together as `other`",
    ("tenant", "place"),
)
SLOTS = Metric(
    "orchestrator_slots",
    "gauge",
    "how many may run at once, by pool: its limit, where it has one, and what workers offer",
    ("pool", "bound"),
)
WORKERS = Metric(
    "orchestrator_workers",
    "gauge",
    "worker processes whose heartbeats come, by pool",
    ("pool",),
)
OLDEST = Metric(
    "orchestrator_queue_oldest_seconds",
    "gauge",
    "how long the oldest one has been ready to begin for the first time, by pool",
    ("pool",),
)
STALLED = Metric(
    "orchestrator_pool_stalled",
    "gauge",
    "1 where something is queued and nothing runs",
    ("pool",),
)
BREAKERS = Metric(
    "orchestrator_breaker_state",
    "gauge",
    "breakers: 0 closed, 1 half-open, 2 open",
    ("resource", "tenant"),
)
BUCKETS = Metric(
    "orchestrator_bucket_level",
    "gauge",
    "what is left in a bucket; below zero where calls took more than they had said",
    ("resource", "tenant", "bucket"),
)
RESOURCE_CALLS = Metric(
    "orchestrator_resource_calls",
    "gauge",
    "calls of a resource under way, and callers that wait for their turn",
    ("resource", "tenant", "place"),
)
UP = Metric(
    "orchestrator_server_up",
    "gauge",
    "1 where Redis or PostgreSQL answers",
    ("server",),
)
HOUSEKEEPING_AGE = Metric(
    "orchestrator_housekeeping_age_periods",
    "gauge",
    "how long ago a job was done last, in periods of its own: above 3, no beat does it",
    ("round",),
)
HOUSEKEEPING_DONE = Metric(
    "orchestrator_housekeeping_done_total",
    "counter",
    "what all rounds of all processes have done, as PostgreSQL remembers it",
    ("round", "action"),
)
REFUSALS = Metric(
    "orchestrator_refusals_total",
    "counter",
    "spawns that the gate has refused, all services together, since it was last emptied",
    ("code",),
)

#: All that is read.
CLUSTER = tuple(one for one in globals().values() if isinstance(one, Metric) and one not in EVENTS)

"""The Celery application: `celery -A workers.app ...`. Every setting stands with its reason."""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from orchestrator.admission.caller import shard_names
from orchestrator.admission.connecting import Sentinels
from orchestrator.admission.keys import queue_name
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.transport.envelope import PRIORITY_LEVELS

HOUSEKEEPING = "housekeeping"

# Under the usual scheme, so that tools which look at the URL (Flower) know what it is.
TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "workers.redis_broker:Transport")
TRANSPORT_ALIASES["sentinel"] = "workers.redis_broker:SentinelTransport"


def make_app(settings: Settings) -> Celery:
    """The application for these settings; connects to nothing yet."""
    app = Celery("orchestrator", broker=_broker(settings))
    app.conf.update(
        # A message is a hint: the row in PostgreSQL decides what runs, leases and the sweep bring
        # back what got lost. So it is gone once it is read: a late acknowledgement would run the
        # work again after every lost connection and every visibility timeout.
        task_acks_late=False,
        # Order is the gate's business. A worker that reads ahead would hold back what it cannot
        # run yet; with this it reads only when a slot is free.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # Results live in PostgreSQL.
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # On Redis an unset priority would be 0, which is the most urgent.
        task_default_priority=len(PRIORITY_LEVELS) - 1,
        task_queues=[
            _queue(name)
            for pool in (HOUSEKEEPING, "default")
            for name in queue_names(settings, pool)
        ],
        task_default_queue=queue_names(settings, HOUSEKEEPING)[0],
        task_create_missing_queues=True,
        broker_transport_options=_transport_options() | _primary(settings),
        broker_connection_retry_on_startup=True,
        # A broker may be away for long; giving up would need somebody to restart the worker.
        broker_connection_max_retries=None,
        # Attempts run on: their leases decide, not the broker connection.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Prefetching is off, so there is nothing to reduce after a reconnect.
        worker_enable_prefetch_count_reduction=False,
        worker_send_task_events=settings.task_events,
        worker_consumer="workers.consumer:Consumer",
        # An event per message sent would cost two thirds of the price of sending it.
        task_send_sent_event=False,
        # Our own logging is set up by the commands.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        accept_content=["json"],
        task_serializer="json",
        enable_utc=True,
        timezone="UTC",
        imports=("workers.tasks",),
    )
    return app


def _broker(settings: Settings) -> str:
    if settings.broker_url:
        return settings.broker_url
    try:
        url = settings.located().redis_url
    except ConfigurationError:
        # Commands that need no broker (`celery report`) work without one.
        return "memory://"
    assert url is not None
    return _by_sentinels(url)


def _by_sentinels(url: str) -> str:
    """The URL in kombu's form, which names each sentinel by a URL of its own."""
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return url
    login = url.partition("://")[2].rpartition("@")[0]
    return ";".join(
        f"sentinel://{login}@{host}:{port}/{sentinels.database}" for host, port in sentinels.hosts
    )


def _primary(settings: Settings) -> dict[str, object]:
    """Which of the servers that the sentinels watch is the broker's."""
    sentinels = Sentinels.of(settings.redis_url or "")
    if sentinels is None or settings.broker_url:
        return {}
    return {"master_name": sentinels.primary}


def queue_names(settings: Settings, pool: str) -> list[str]:
    """The Celery queues of a pool, one for each shard of the gate."""
    return [queue_name(name, pool) for name in shard_names(settings.gate, settings.gate_shards)]


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def _transport_options() -> dict[str, object]:
    return {
        # One Redis list per level makes the order within a queue exact; the default of four
        # levels puts classes together.
        "priority_steps": list(PRIORITY_LEVELS),
        "queue_order_strategy": "priority",
        # Nothing is kept for acknowledgement: see `task_acks_late`.
        "ack_emulation": False,
        # Without these a half-open connection is noticed after minutes or never.
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": True,
    }


app = make_app(Settings.load())

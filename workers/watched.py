"""A Celery worker that its canary watches."""

from __future__ import annotations

import os
from typing import Any

from celery import signals
from celery.worker import state

from orchestrator.config.settings import Settings
from orchestrator.telemetry.logging import get_logger
from workers import process
from workers.app import app, queue_names
from workers.canary import SILENT, TASK, Canary

log = get_logger("orchestrator.worker")

#: Seconds for which a dead worker's queue is kept, in periods of its canary.
KEPT = 20


def run(settings: Settings, this: process.Process, pool: str, concurrency: int) -> int:
    """Run a Celery worker until it is told to stop; answers the exit code."""
    name = this.host.worker
    queue = f"{queue_names(settings, pool)[0]}.canary.{name}"
    worker = app.Worker(
        hostname=name,
        pool_cls="workers.pool:TaskPool",
        concurrency=concurrency,
        queues=[*queue_names(settings, pool), queue],
        loglevel=settings.log_level,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )

    def send() -> None:
        app.send_task(TASK, queue=queue, priority=0, retry=False, expires=KEPT * settings.canary)
        if settings.broker_url is None:
            _let_expire(this, queue, KEPT * settings.canary)

    def has_room() -> bool:
        return len(state.reserved_requests) < int(worker.pool.num_processes)

    def reconnect() -> None:
        worker.consumer.hub.call_soon(_fail_if_silent)

    def give_up() -> None:
        process.retire(this)
        process.drain(this, settings.shutdown_grace)
        os._exit(SILENT)

    canary = Canary(settings.canary, send, has_room, reconnect, give_up)

    @signals.worker_ready.connect(weak=False)
    def ready(**_: Any) -> None:
        canary.start()

    @signals.worker_shutting_down.connect(weak=False)
    def stopping(**_: Any) -> None:
        canary.close()

    worker.start()
    log.info("worker.stopped", worker=name, exitcode=worker.exitcode or 0)
    return int(worker.exitcode or 0)


def _fail_if_silent() -> None:
    """Have the consumer believe that its connection was lost; on its own thread."""
    raise ConnectionResetError("nothing was read for too long")


def _let_expire(this: process.Process, queue: str, seconds: float) -> None:
    """Leave nothing of this worker in Redis once it is dead; kombu's bindings are for ever."""
    this.deps.gate.let_expire([queue, f"_kombu.binding.{queue}"], seconds)

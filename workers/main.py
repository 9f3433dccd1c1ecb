"""Starts the two kinds of worker processes; called by the CLI."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from typing import Any

from celery import signals
from celery.beat import EmbeddedService

from orchestrator import bootstrap
from orchestrator.agents.registry import REGISTRY
from orchestrator.config.settings import Settings
from orchestrator.domain.resource import by_name
from orchestrator.engine import rebuild, resources
from orchestrator.telemetry.logging import get_logger
from orchestrator.transport.publisher import Publisher
from workers import process, scraped, watched
from workers.app import HOUSEKEEPING, app
from workers.intake import Intake
from workers.jobs import periods
from workers.relay import Relay
from workers.schedule import schedule

log = get_logger("orchestrator.worker")


def work(settings: Settings, pool: str, concurrency: int) -> int:
    """Run agents of a pool until told to stop; answers the exit code."""
    bootstrap.import_agents(settings.agents)
    name = process.new_name(pool)
    this = process.start_agents(settings, name, pool, concurrency)
    scraped.serve(settings, this)
    rebuild.reconfigure(this.deps)
    _declare(settings, this)

    @signals.worker_ready.connect(weak=False)
    def ready(**_: Any) -> None:
        assert this.heart is not None
        # What is loaded by now stays: looking through it again at each full collection would stop
        # all threads for 70 to 100 ms.
        gc.collect()
        gc.freeze()
        this.heart.start()

    @signals.worker_shutting_down.connect(weak=False)
    def stopping(**_: Any) -> None:
        # From a signal handler: talking to Redis must not happen here.
        threading.Thread(target=process.retire, args=(this,), daemon=True).start()

    _quieten(settings.log_level)
    return watched.run(settings, this, pool, concurrency)


def keep_house(settings: Settings) -> int:
    """Run beat and the small worker that does what beat starts, in one process."""
    name = process.new_name(HOUSEKEEPING)
    this = process.start_housekeeping(settings, name)
    scraped.serve(settings, this)
    rebuild.reconfigure(this.deps)
    _declare(settings, this)
    app.conf.beat_schedule = schedule(settings)
    this.deps.store.housekeeping.expect(periods(settings), name)
    # Nothing has to be remembered between starts: rounds are claimed by server time.
    beat = EmbeddedService(app, thread=True, scheduler_cls="celery.beat:Scheduler")

    threads: list[Intake | Relay] = [Intake(this.deps, settings.database_url or "")]
    if settings.broker_url:
        publisher = Publisher(settings.broker_url, app.conf.broker_transport_options)
        threads.append(Relay(this.deps.gate, publisher))

    @signals.worker_ready.connect(weak=False)
    def ready(**_: Any) -> None:
        beat.start()
        for thread in threads:
            thread.start()
        process.announce_ready()

    _quieten(settings.log_level)
    code = watched.run(settings, this, HOUSEKEEPING, 2)
    beat.stop()
    for thread in threads:
        thread.close()
    return code


def _declare(settings: Settings, this: process.Process) -> None:
    """Say how much of the resources may be used; what the settings say wins over the code."""
    declared = by_name(REGISTRY.resources.values(), settings.resources.values())
    resources.declare(this.deps, declared.values())
    resources.declare_needs(this.deps, REGISTRY.specs().values())


def _quieten(level: str) -> None:
    """Two lines for each message cost a busy worker a tenth; the audit trail has them anyway."""
    if level != "DEBUG":
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


def exit_now(code: int) -> None:
    """End the process, also where a thread does not return from an agent's code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os._exit(code)

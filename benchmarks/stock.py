"""Stock Celery: as it comes. Only results are off: ours are not kept in Celery either."""

from __future__ import annotations

from celery import Celery

from benchmarks import tasks
from orchestrator.config.settings import Settings


def make(settings: Settings) -> Celery:
    """The application."""
    app = Celery("stock", broker=settings.located().redis_url)
    app.conf.update(
        task_default_queue="stock",
        task_ignore_result=True,
        # Its absence is only a warning that this default will change.
        broker_connection_retry_on_startup=True,
    )
    return tasks.add_to(app)

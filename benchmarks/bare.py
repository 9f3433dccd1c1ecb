"""Bare Celery: the transport, broker and worker settings of our own workers, and no more."""

from __future__ import annotations

from celery import Celery

from benchmarks import tasks
from orchestrator.config.settings import Settings
from workers.app import make_app


def make(settings: Settings) -> Celery:
    """The application."""
    app = make_app(settings)
    app.conf.update(task_default_queue="bare", task_queues=None, imports=())
    return tasks.add_to(app)

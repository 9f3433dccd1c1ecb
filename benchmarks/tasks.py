"""The tasks of both bare Celery applications: the same as the agents', with nothing of ours."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

from benchmarks import work


def noop() -> None:
    """Nothing."""


def start(key: str, sent: float) -> None:
    """Says how long after `sent` it began."""
    began = time.time()
    work.tell(key, began - sent)


def occupy(until: str) -> None:
    """Keeps its slot for as long as the benchmark wants."""
    work.occupy(until)


def count(key: str, total: int) -> None:
    """A no-op that is counted."""
    work.count(key, total, time.time())


def add_to(app: Celery) -> Celery:
    """Register the tasks with an application."""
    for task in (noop, start, occupy, count):
        app.task(name=task.__name__)(task)
    return app


def send(app: Celery, task: str, **values: Any) -> None:
    """Publish a task the way a user of Celery does."""
    app.tasks[task].apply_async(kwargs=values)

"""What beat starts, and when: each job of the table `workers/jobs.py`."""

from __future__ import annotations

from typing import Any

from orchestrator.config.settings import Settings
from workers.jobs import JOBS


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule`."""
    return {
        job.name: {
            "task": job.task,
            "schedule": job.period(settings),
            "args": (job.period(settings),),
            # A round that nobody could start in time is not worth doing late.
            "options": {"expires": job.period(settings)},
        }
        for job in JOBS
        if job.is_needed(settings)
    }

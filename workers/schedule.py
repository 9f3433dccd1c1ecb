"""What beat starts, and when: each job of the table `workers/jobs.py`."""

from __future__ import annotations

from typing import Any

from orchestrator.config.settings import Settings
from workers.jobs import JOBS

#: Seconds.
WORTHLESS_AFTER = 60.0


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule`."""
    return {
        job.name: {
            "task": job.task,
            "schedule": job.period(settings),
            "args": (job.period(settings),),
            # A late message is as good as a fresh one, since rounds are claimed by the server's
            # time; but there need not be many of them once somebody reads again.
            "options": {"expires": max(job.period(settings), WORTHLESS_AFTER)},
        }
        for job in JOBS
        if job.is_needed(settings)
    }

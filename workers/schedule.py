"""What beat starts, as a table."""

from __future__ import annotations

from typing import Any

from orchestrator.config.settings import Settings

#: Seconds. What is removed is days old, so nobody waits for it.
HOUR = 3_600.0


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule`."""
    table = {
        "sweep": ("orchestrator.sweep", settings.sweep_every),
        "limits": ("orchestrator.limits", settings.sweep_every),
        "balance": ("orchestrator.balance", settings.sweep_every),
        "exhaust": ("orchestrator.exhaust", settings.sweep_every),
        "deadlocks": ("orchestrator.deadlocks", settings.sweep_every),
        "reap": ("orchestrator.reap", settings.reap_every),
        "reconcile": ("orchestrator.reconcile", settings.reconcile_every),
        "tidy": ("orchestrator.tidy", HOUR),
    }
    if settings.gate_shards == 1:
        del table["balance"]
    return {
        name: {
            "task": task,
            "schedule": period,
            "args": (period,),
            # A round that nobody could start in time is not worth doing late.
            "options": {"expires": period},
        }
        for name, (task, period) in table.items()
    }

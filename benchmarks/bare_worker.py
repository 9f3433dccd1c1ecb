"""What `celery -A benchmarks.bare_worker worker` loads in a process of its own."""

from __future__ import annotations

from benchmarks import bare, ready
from orchestrator.config.settings import Settings

app = bare.make(Settings.load())
ready.announce()

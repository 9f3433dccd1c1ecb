"""What `celery -A benchmarks.stock_worker worker` loads in a process of its own."""

from __future__ import annotations

from benchmarks import ready, stock
from orchestrator.config.settings import Settings

app = stock.make(Settings.load())
ready.announce()

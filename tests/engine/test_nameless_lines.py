"""Danger: a line of the log about something that went wrong, and nobody knows whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.telemetry.logging import get_logger
from tests.engine.bench import Bench

WHOSE = {"tenant", "session", "agent", "instance", "attempt"}


def fields(caplog: pytest.LogCaptureFixture, event: str) -> dict[str, Any]:
    [record] = [one for one in caplog.records if getattr(one, "event", "") == event]
    return dict(record.__dict__["fields"])


def test_every_line_of_a_run_says_whose_it_is(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def tells(ctx: Context) -> None:
        get_logger("orchestrator.library").warning("from.below")
        ctx.log.warning("from.agent")

    bench.agent("tells", tells)
    one = bench.spawn("tells", session="s", tenant="acme")
    bench.execute(one)
    expected = {"tenant": "acme", "session": "s", "agent": "tells", "instance": one, "attempt": 1}
    assert fields(caplog, "from.below") == expected
    assert fields(caplog, "from.agent") == expected


def test_the_next_line_of_the_thread_is_about_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.execute(bench.spawn("add", {"a": 1}))
    get_logger("orchestrator.worker").warning("afterwards")
    assert not WHOSE & set(fields(caplog, "afterwards"))

"""What tests of talking agents share."""

from __future__ import annotations

from typing import Any

from orchestrator.agents.context import Context
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from tests.engine.bench import Bench

NEVER = RetryPolicy.never()
#: Both servers would find so if they had waited.
TIME_IS_UP = """
    UPDATE steps SET value = json_build_object('until', now())
    WHERE instance_id = %s AND value ->> 'until' IS NOT NULL
"""
SOON = RetryPolicy(max_attempts=3, first_delay=0.0, max_delay=0.0)


def done(bench: Bench, *ids: str) -> list[Any]:
    """The results, once all have completed."""
    bench.work_until(lambda: all(bench.row(one).state.is_terminal for one in ids), "all have ended")
    rows = [bench.row(one) for one in ids]
    assert [row.error for row in rows] == [None] * len(rows)
    return [row.result for row in rows]


def until_it_waits(bench: Bench, instance_id: str) -> None:
    """Wait until it waits with nobody there."""
    bench.work_until(lambda: bench.row(instance_id).state is State.WAITING, "it waits")
    assert bench.deps.gate.held() == 0


def listener(bench: Bench, count: int = 1, **options: Any) -> str:
    """An instance that receives so many messages."""

    def listen(ctx: Context) -> list[Any]:
        return [ctx.receive(**options).body for _ in range(count)]

    name = f"listen {new_id()}".replace(" ", "-")
    bench.agent(name, listen, retry=NEVER)
    return bench.spawn(name, session="s")

"""progress: the newest arrives, seldom enough, and never from an attempt that was fenced out."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agents.async_context import AsyncContext
from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import LONGEST_MESSAGE, Progress
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine import progress
from tests.engine.bench import Bench


def told(bench: Bench, instance_id: str) -> tuple[Any, Any] | None:
    found = Orchestrator(bench.deps).handle(instance_id).progress()
    return None if found is None else (found.fraction, found.message)


def flush(bench: Bench) -> int:
    return progress.flush(bench.deps, bench.running.all())


def test_it_is_seen_while_the_agent_runs(bench: Bench) -> None:
    seen: list[Any] = []

    def reads(ctx: Context) -> None:
        seen.append(ctx.handle(ctx.id).progress())
        ctx.progress(0.4, "reading")
        flush(bench)
        seen.append(ctx.handle(ctx.id).progress())

    bench.agent("reads", reads)
    one = bench.spawn("reads")
    bench.execute(one)
    before, found = seen
    assert before is None
    assert (found.fraction, found.message, found.attempt) == (0.4, "reading", 1)
    assert str(found) == "40% reading"
    assert Progress.from_dict(found.to_dict()) == found


def test_it_is_written_at_most_once_a_second_and_the_last_always(bench: Bench) -> None:
    written: list[int] = []

    def counts(ctx: Context) -> None:
        for number in range(100):
            ctx.progress(number / 100, f"{number}")
            written.append(flush(bench))

    bench.agent("counts", counts)
    one = bench.spawn("counts")
    bench.execute(one)
    assert sum(written) == 1 or sum(written) <= 5, "a slow machine may take some seconds"
    assert written[0] == 1
    assert told(bench, one) == (0.99, "99")


def test_it_is_no_event(bench: Bench) -> None:
    bench.agent("tells", lambda ctx: ctx.progress(0.5))
    one = bench.spawn("tells")
    bench.execute(one)
    assert [state for state, _ in bench.trail(one)] == ["queued", "running", "completed"]
    assert told(bench, one) == (0.5, "")


@pytest.mark.parametrize("ends", ["failed", "retried"])
def test_the_last_word_of_one_that_fails_arrives(bench: Bench, ends: str) -> None:
    def fails(ctx: Context) -> None:
        ctx.progress(None, "about to fail")
        raise ValueError

    attempts = 1 if ends == "failed" else 2
    bench.agent("fails", fails, retry=RetryPolicy(max_attempts=attempts))
    one = bench.spawn("fails")
    row = bench.execute(one)
    assert row.state is (State.FAILED if ends == "failed" else State.QUEUED)
    assert told(bench, one) == (None, "about to fail")


def test_an_async_agent_tells_without_waiting(bench: Bench) -> None:
    async def tells(ctx: AsyncContext) -> None:
        ctx.progress(1, "done")

    bench.agent("tells", tells)
    one = bench.spawn("tells")
    bench.execute(one)
    assert told(bench, one) == (1.0, "done")


def test_an_attempt_that_was_fenced_out_writes_nothing(bench: Bench) -> None:
    def lags(ctx: Context) -> None:
        bench.deps.store.expire(ctx.id, 1)
        bench.deps.store.begin(ctx.id, 2, "other")
        ctx.progress(0.9, "of the past")

    bench.agent("lags", lags)
    one = bench.spawn("lags")
    bench.execute(one)
    assert told(bench, one) is None


def test_what_could_not_be_written_is_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tells(ctx: Context) -> None:
        ctx.progress(0.5)
        with monkeypatch.context() as patch:
            patch.setattr(bench.deps.store.control, "write_progress", _broken)
            with pytest.raises(ConnectionError):
                progress.flush(bench.deps, bench.running.all())

    bench.agent("tells", tells)
    one = bench.spawn("tells")
    bench.execute(one)
    assert told(bench, one) == (0.5, "")


def _broken(_told: object) -> None:
    raise ConnectionError


@pytest.mark.parametrize(
    "wrong",
    [(-0.1, ""), (1.1, ""), (float("nan"), ""), ("half", ""), (True, ""), (0.5, None), (0.5, 7)],
    ids=repr,
)
def test_nonsense_is_refused(bench: Bench, wrong: tuple[Any, Any]) -> None:
    def tells(ctx: Context) -> None:
        with pytest.raises(InvalidRequest) as caught:
            ctx.progress(*wrong)
        assert caught.value.code == "INVALID_PROGRESS"

    bench.agent("tells", tells, retry=RetryPolicy.never())
    assert bench.execute(bench.spawn("tells"), 1).state is State.COMPLETED


def test_what_is_too_long_or_cannot_be_stored_is_cut(bench: Bench) -> None:
    bench.agent("tells", lambda ctx: ctx.progress(0.5, "\x00\ud800" + "x" * 1_000))
    one = bench.spawn("tells")
    bench.execute(one)
    found = told(bench, one)
    assert found is not None
    assert len(found[1]) <= LONGEST_MESSAGE
    assert found[1].startswith("?xxx")

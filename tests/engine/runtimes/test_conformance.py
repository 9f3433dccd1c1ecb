"""One suite for all runtimes: what an agent may rely on, whatever it is written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AsyncContext, Context
from orchestrator.agents.http import RemoteAgent
from orchestrator.agents.programs import Program
from orchestrator.agents.registry import REGISTRY, Registry
from orchestrator.domain.instance import Instance
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.engine.runtimes.programs import nothing_left, stop, under_way
from tests.support import conforming
from tests.support.waiting import wait_until
from tests.support.web_server import Asked, Say, WebServer

RUNTIMES = ("def", "async", "isolated", "process")


@dataclass
class Runner:
    """Runs one agent of one runtime, which does what `do` says."""

    bench: Bench
    name: str

    def end(self, do: str, **args: Any) -> Instance:
        """Spawn it and work until it has ended."""
        one = self.bench.spawn(self.name, {"do": do, "value": None} | args)
        self.bench.work_until(lambda: self.bench.row(one).state.is_terminal, "it has ended")
        return self.bench.row(one)


def agent_of(runtime: str) -> Callable[..., Any]:
    """The same agent, for each runtime."""

    def plain(ctx: Context, do: str, value: Any) -> Any:
        return conforming.act(ctx, do, value)

    async def awaited(ctx: AsyncContext, do: str, value: Any) -> Any:
        return await conforming.act_async(ctx, do, value)

    program = Program(conforming.COMMAND, grace=0.5, interactive=True)
    known: dict[str, Callable[..., Any]]
    known = {"def": plain, "async": awaited, "process": program}
    return known[runtime]


def answer(asked: Asked) -> Say:
    """The same agent elsewhere, as far as one can be elsewhere: it has no children here."""
    does = asked.body["args"]
    return Say(200, "x" * 1_000_000 if does["do"] == "flood" else does["value"])


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server with a remote agent."""
    server = WebServer(answer)
    with server.running():
        monkeypatch.setenv("ORCHESTRATOR_HTTP_AGENTS_ALLOW", f"127.0.0.1:{server.port}")
        yield server


@pytest.fixture(params=RUNTIMES)
def runner(request: pytest.FixtureRequest, bench: Bench, registry: Registry) -> Iterator[Runner]:
    """Each runtime in turn; nothing of a test is left when it is over."""
    yield from runner_of(request.param, bench, registry)


@pytest.fixture(params=[*RUNTIMES, "http"])
def anywhere(
    request: pytest.FixtureRequest, bench: Bench, registry: Registry, elsewhere: WebServer
) -> Iterator[Runner]:
    """The same, with an agent that is not even here."""
    if request.param == "http":
        driver = RemoteAgent(f"{elsewhere.url}/jobs", deadline=60, request_timeout=20)
        bench.agent("agent", driver, retry=RetryPolicy.never())
        yield Runner(bench, "agent")
    else:
        yield from runner_of(request.param, bench, registry)


def runner_of(runtime: str, bench: Bench, registry: Registry) -> Iterator[Runner]:
    """A runner of one runtime, after which nothing is left."""
    if runtime == "isolated":
        known = REGISTRY.get("conforming")
        assert known is not None
        registry.add(known)
        runner = Runner(bench, "conforming")
    else:
        bench.agent("agent", agent_of(runtime), retry=RetryPolicy.never())
        runner = Runner(bench, "agent")
    assert runner.end("return").state is State.COMPLETED  # what stays with a worker is there now
    with nothing_left():
        yield runner


@pytest.mark.parametrize(
    "value",
    [None, 0, -1.5, 'größer 🙂\n\t"\\', [], {"a": [{"b": None}]}, "x" * 200_000],
    ids=["null", "zero", "float", "unicode", "empty", "nested", "long"],
)
def test_a_result_is_what_was_returned(anywhere: Runner, value: Any) -> None:
    row = anywhere.end("return", value=value)
    assert (row.state, row.result, row.failures) == (State.COMPLETED, value, 0)


def test_an_error(runner: Runner) -> None:
    row = runner.end("raise", value="no such page")
    assert (row.state, row.reason) == (State.FAILED, Reason.AGENT_ERROR)
    assert row.error is not None
    assert (row.error["type"], row.error["message"]) == ("ValueError", "no such page")


def test_too_large_a_result(anywhere: Runner) -> None:
    row = anywhere.end("flood")
    error = row.error or {}
    kinds = {error["type"], *(cause["type"] for cause in error.get("causes", []))}
    assert row.state is State.FAILED
    assert kinds & {"TooLarge", "TooLong"}


def test_children(runner: Runner) -> None:
    row = runner.end("children", value=[1, 2, 3])
    assert row.result == [2, 3, 4]
    assert len(runner.bench.deps.store.subtree(row.id)) == 4


def test_a_child_that_fails(runner: Runner) -> None:
    assert runner.end("failing child").result == "failed"


def test_a_refused_spawn(runner: Runner) -> None:
    row = runner.end("refused")
    assert row.result == "UNKNOWN_AGENT"


@pytest.mark.parametrize(
    ("reason", "state", "why"),
    [
        (StopReason.TIMEOUT, State.FAILED, "TIMEOUT"),
        (StopReason.WORKER_STOPPED, State.QUEUED, "WORKER_STOPPED"),
    ],
)
def test_told_to_stop(
    runner: Runner, tmp_path: Path, reason: StopReason, state: State, why: str
) -> None:
    bench = runner.bench
    there = tmp_path / "there"
    with under_way(bench, runner.name, do="hang", value=str(there)) as one:
        wait_until(there.exists, "it runs")
        stop(bench, one, reason)
    row = bench.row(one)
    assert (row.state, row.reason) == (state, why)


def test_cancelled(runner: Runner, tmp_path: Path) -> None:
    bench = runner.bench
    there = tmp_path / "there"
    with under_way(bench, runner.name, do="hang", value=str(there)) as one:
        wait_until(there.exists, "it runs")
        bench.deps.store.cancel([one], "CANCELLED", "PARENT_ENDED")
        stop(bench, one, StopReason.CANCELLED)
    assert bench.row(one).state is State.CANCELLED


def test_it_runs_again_after_a_failure(runner: Runner) -> None:
    """The second attempt finds the child of the first."""
    one = runner.bench.spawn(runner.name, {"do": "second time", "value": None})
    with runner.bench.deps.store.database.connection() as connection:
        policy = '{"max_attempts": 2, "first_delay": 0, "max_delay": 0, "give_up_on": []}'
        connection.execute("UPDATE instances SET retry = %s WHERE id = %s", [policy, one])
    runner.bench.work_until(lambda: runner.bench.row(one).state.is_terminal, "it has ended")
    row = runner.bench.row(one)
    assert (row.state, row.failures) == (State.COMPLETED, 1), row.error
    assert [row.id for row in runner.bench.deps.store.subtree(one)] == [one, row.result]


def _has_ended(bench: Bench, one: str) -> bool:
    bench.enforce()
    return bench.row(one).state.is_terminal


def test_one_that_hangs_is_stopped_though_its_worker_beats(runner: Runner, tmp_path: Path) -> None:
    """It shows no sign of progress, and fails for that; what it did before is not at fault."""
    bench, there = runner.bench, tmp_path / "there"
    args = {"do": "numb", "value": str(there)}
    one = bench.spawn(runner.name, args, progress_timeout=0.5)
    with bench.working(beating=True):
        wait_until(there.exists, "it runs")
        wait_until(lambda: _has_ended(bench, one), "it has ended", 120.0)
    row = bench.row(one)
    assert (row.state, row.reason, row.failures) == (State.FAILED, Reason.NO_PROGRESS, 1)
    assert row.error is not None
    assert row.error["message"] == "showed no sign of progress for 0.5 s"


def test_one_that_says_something_goes_on(runner: Runner, tmp_path: Path) -> None:
    bench, end = runner.bench, tmp_path / "end"
    one = bench.spawn(runner.name, {"do": "busy", "value": str(end)}, progress_timeout=60.0)
    with bench.working(beating=True):
        wait_until(lambda: bench.running.all(), "it runs")
        [run] = bench.running.all()
        for _ in range(3):
            before = run._alive_at
            wait_until(lambda: run._alive_at > before, "it shows that it goes on")  # noqa: B023  # called at once
        end.touch()
        bench.wait_for_end(one)
    assert bench.row(one).state is State.COMPLETED

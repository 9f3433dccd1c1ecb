"""What has failed for good can be run again: from its last good step, as another instance."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.agents.context import Context
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import InstanceNotFound, InvalidRequest, InvalidSpawn
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.retry import retry
from orchestrator.store.store import Ending
from tests.engine.bench import Bench


class World:
    """What an agent's actions do, and whether a dependency is up."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.is_up = False

    def do(self, name: str) -> str:
        """An action that always works."""
        self.done.append(name)
        return name

    def depend(self) -> str:
        """One that needs the dependency."""
        if not self.is_up:
            raise ConnectionError("it is down")
        return self.do("depended")


@pytest.fixture
def world() -> World:
    return World()


def run(bench: Bench, instance_id: str) -> Any:
    """Work until it has ended; its row."""
    bench.work_until(lambda: bench.row(instance_id).state.is_terminal, "it has ended")
    return bench.row(instance_id)


def failed(bench: Bench, **fields: Any) -> str:
    """One that has failed, of an agent that always does."""
    bench.agent("fails", _fail, retry=RetryPolicy.never())
    one = bench.spawn("fails", **fields)
    bench.execute(one)
    return one


def _fail(_ctx: Context, **_args: Any) -> None:
    raise ValueError("no")


class TestAgain:
    def test_good_steps_are_not_done_again(self, bench: Bench, world: World) -> None:
        def works(ctx: Context) -> list[Any]:
            first = ctx.step("first", world.do, "first")
            number = ctx.random()
            second = ctx.step("second", world.do, "second")
            ctx.step("depend", world.depend)
            return [first, second, number, ctx.random() == number]

        bench.agent("works", works, retry=RetryPolicy(max_attempts=2, first_delay=0))
        one = bench.spawn("works", session="s", priority="high")
        assert run(bench, one).state is State.FAILED
        assert world.done == ["first", "second"]
        world.is_up = True
        again = retry(bench.deps, one)
        row = run(bench, again)
        assert (row.state, row.result[:2], row.result[3]) == (
            State.COMPLETED,
            ["first", "second"],
            False,
        )
        assert world.done == ["first", "second", "depended"]
        assert (row.retry_of, row.session, row.priority.label) == (one, "s", "high")
        assert bench.row(one).state is State.FAILED, "what has ended stays as it ended"

    def test_random_numbers_are_the_same_in_it(self, bench: Bench, world: World) -> None:
        """Otherwise a child that was spawned with one would not be found."""

        def parent(ctx: Context) -> Any:
            child = ctx.spawn("echo", {"number": ctx.random(), "uuid": str(ctx.uuid())})
            found = ctx.wait(child)
            ctx.step("depend", world.depend)
            return found

        bench.agent("parent", parent, retry=RetryPolicy.never())
        one = bench.spawn("parent")
        run(bench, one)
        world.is_up = True
        again = retry(bench.deps, one)
        row = run(bench, again)
        assert row.state is State.COMPLETED
        assert row.result["number"] > 0
        assert len(bench.deps.store.subtree(again)) == 1, "no child was spawned again"

    def test_the_child_that_failed_is_spawned_again(self, bench: Bench, world: World) -> None:
        def child(_ctx: Context, name: str) -> str:
            return world.depend() if name == "bad" else world.do(name)

        def parent(ctx: Context) -> Any:
            children = [ctx.spawn("child", {"name": name}) for name in ("good", "bad")]
            return ctx.wait(children)

        bench.agent("child", child, retry=RetryPolicy.never())
        bench.agent("parent", parent, retry=RetryPolicy.never())
        one = bench.spawn("parent")
        row = run(bench, one)
        assert (row.state, row.error["type"]) == (State.FAILED, "AgentFailed")
        world.is_up = True
        again = run(bench, retry(bench.deps, one))
        assert (again.state, again.result) == (State.COMPLETED, ["good", "depended"])
        assert world.done == ["good", "depended"]

    def test_a_child_that_was_stopped_with_its_parent_is_spawned_again(
        self, bench: Bench, world: World
    ) -> None:
        def parent(ctx: Context) -> Any:
            child = ctx.spawn("echo", {"a": 1}, pool="default" if world.is_up else "gpu")
            ctx.step("depend", world.depend)
            return ctx.wait(child)

        bench.agent("parent", parent, retry=RetryPolicy.never())
        one = bench.spawn("parent")
        run(bench, one)
        world.is_up = True
        assert run(bench, retry(bench.deps, one)).result == {"a": 1}

    def test_a_failure_that_was_handled_is_handled_again(self, bench: Bench, world: World) -> None:
        def parent(ctx: Context) -> Any:
            found = ctx.wait([ctx.spawn("fails")], return_exceptions=True)
            ctx.step("depend", world.depend)
            return [type(one).__name__ for one in found]

        bench.agent("fails", _fail, retry=RetryPolicy.never())
        bench.agent("parent", parent, retry=RetryPolicy.never())
        one = bench.spawn("parent")
        run(bench, one)
        world.is_up = True
        again = retry(bench.deps, one)
        assert run(bench, again).result == ["AgentFailed"]
        assert len(bench.deps.store.subtree(again)) == 1

    def test_a_retry_that_failed_too_is_run_again(self, bench: Bench, world: World) -> None:
        def works(ctx: Context) -> Any:
            ctx.step("first", world.do, "first")
            return ctx.step("depend", world.depend)

        bench.agent("works", works, retry=RetryPolicy.never())
        one = bench.spawn("works")
        run(bench, one)
        second = retry(bench.deps, one)
        run(bench, second)
        world.is_up = True
        third = retry(bench.deps, second)
        assert run(bench, third).state is State.COMPLETED
        assert world.done == ["first", "depended"]
        assert [bench.row(each).retry_of for each in (second, third)] == [one, one]

    def test_one_that_was_cancelled_is_run_again(self, bench: Bench, world: World) -> None:
        def works(ctx: Context) -> Any:
            ctx.step("first", world.do, "first")
            if not world.is_up:
                Orchestrator(bench.deps).cancel(ctx.id)
                bench.beat()
                ctx.check()
            return ctx.step("depend", world.depend)

        bench.agent("works", works)
        one = bench.spawn("works")
        assert run(bench, one).state is State.CANCELLED
        world.is_up = True
        assert run(bench, retry(bench.deps, one)).result == "depended"
        assert world.done == ["first", "depended"]

    def test_what_it_kept_for_itself_is_there(self, bench: Bench, world: World) -> None:
        def works(ctx: Context) -> Any:
            ctx.state["seen"] = ctx.state.get("seen", 0) + 1
            world.depend()
            return ctx.state["seen"]

        bench.agent("works", works, retry=RetryPolicy.never())
        one = bench.spawn("works")
        run(bench, one)
        world.is_up = True
        assert run(bench, retry(bench.deps, one)).result == 2


class TestOnce:
    def test_while_it_is_live_it_is_the_same(self, bench: Bench) -> None:
        one = failed(bench)
        again = retry(bench.deps, one)
        assert retry(bench.deps, one) == again
        run(bench, again)
        assert retry(bench.deps, one) != again

    @pytest.fixture
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(8) as threads:
            yield threads

    def test_many_who_ask_at_once_get_one(self, bench: Bench, threads: ThreadPoolExecutor) -> None:
        one = failed(bench)
        bench.offer(0)
        ids = set(threads.map(lambda _: retry(bench.deps, one), range(16)))
        assert len(ids) == 1
        assert bench.deps.gate.backlog() == 1, "nobody else left a place in line"

    def test_what_lives_or_has_completed_is_refused(self, bench: Bench) -> None:
        one = bench.spawn()
        with pytest.raises(InvalidRequest, match="is queued") as caught:
            retry(bench.deps, one)
        assert caught.value.code == "NOT_ENDED"
        bench.execute(one)
        with pytest.raises(InvalidRequest, match="has completed") as caught:
            retry(bench.deps, one)
        assert caught.value.code == "HAS_COMPLETED"
        with pytest.raises(InstanceNotFound):
            retry(bench.deps, new_id())

    def test_an_agent_that_is_gone_is_named(self, bench: Bench) -> None:
        one = failed(bench)
        with bench.deps.store.database.connection() as connection:
            connection.execute("UPDATE instances SET agent = 'gone' WHERE id = %s", [one])
        with pytest.raises(InvalidSpawn, match="gone"):
            retry(bench.deps, one)
        assert len(bench.deps.store.list()) == 1


class TestList:
    def dead(self, bench: Bench, **filters: Any) -> list[str]:
        return [one.id for one in Orchestrator(bench.deps).dead(**filters)]

    def test_they_are_listed_by_session_tenant_and_agent(self, bench: Bench) -> None:
        mine = failed(bench, session="s")
        theirs = failed(bench, tenant="them")
        bench.execute(bench.spawn())
        assert self.dead(bench) == [theirs, mine]
        assert self.dead(bench, session="s") == [mine]
        assert self.dead(bench, tenant="them") == [theirs]
        assert self.dead(bench, agent="add") == []
        assert self.dead(bench, limit=1) == [theirs]

    def test_one_that_somebody_runs_again_is_not_dead(self, bench: Bench) -> None:
        one = failed(bench)
        again = retry(bench.deps, one)
        assert self.dead(bench) == []
        bench.execute(again)
        assert self.dead(bench) == [again, one]
        third = bench.begin(retry(bench.deps, again))
        bench.deps.store.settle(third.id, 1, Ending(State.COMPLETED, result="1"))
        assert self.dead(bench) == []

    def test_nonsense_is_refused(self, bench: Bench) -> None:
        for filters in ({"limit": 0}, {"agent": "a\n"}):
            with pytest.raises(InvalidRequest):
                self.dead(bench, **filters)

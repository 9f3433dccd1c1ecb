"""The examples of agent trees do what they say: in a harness at every turn, and on workers."""

from __future__ import annotations

from typing import Any

import pytest

from examples import market, research, support_desk
from orchestrator import Orchestrator, State
from orchestrator.testing import Harness
from tests.support.processes import Programs
from tests.support.waiting import wait_until

TEXT = (
    "queues need backpressure [survey]; batches are faster [benchmarks]; "
    "people forget timeouts [interviews]"
)
LARGE = {"topic": "charge", "charged": 900}


@pytest.fixture
def harness() -> Harness:
    return Harness(replay_always=True)


# --- research -----------------------------------------------------------------------------


def test_weak_findings_are_sent_back_once(harness: Harness) -> None:
    done = harness.run("research.study", {"sources": list(research.LIBRARY)})
    assert done == {"text": TEXT, "dropped": [], "failed": ["rumours"]}
    closer = [args["source"] for agent, args in harness.spawned if args.get("closer")]
    assert closer == ["interviews"]


def test_findings_that_stay_weak_are_dropped(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(research.LIBRARY, "interviews", [("people forget timeouts", 1)])
    done = harness.run("research.study", {"sources": ["interviews", "survey"]})
    assert done["dropped"] == ["interviews"]
    assert [agent for agent, _ in harness.spawned].count("research.review") == 2


def test_a_study_on_workers(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker(agents="examples.research")
    assert research.run(orchestrator) == {"text": TEXT, "dropped": [], "failed": ["rumours"]}


# --- the support desk ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticket", "answer", "tiers"),
    [
        ({"topic": "hours"}, "We are here from 9 to 17.", ["first_tier"]),
        ({"topic": "charge", "charged": 20}, "20.00 were refunded.", ["first_tier", "second_tier"]),
        ({"topic": "noise"}, "Nothing was charged.", ["first_tier", "second_tier"]),
    ],
)
def test_tiers(harness: Harness, ticket: dict[str, Any], answer: str, tiers: list[str]) -> None:
    outcome = harness.run("desk.ticket", {"ticket": ticket})
    assert (outcome["answer"], outcome["tiers"]) == (answer, tiers)


@pytest.mark.parametrize(("seconds", "by"), [(60, "ann"), (5000, "the lead")])
def test_a_human_approves(harness: Harness, seconds: float, by: str) -> None:
    ticket = harness.spawn("desk.ticket", {"ticket": LARGE})
    harness.advance(seconds)
    harness.signal(harness.instances[-1].id, "approval", {"approved": True, "by": by})
    assert ticket.result()["by"] == by


def test_nobody_approves(harness: Harness) -> None:
    began = harness.now
    outcome = harness.run("desk.ticket", {"ticket": LARGE})
    assert outcome["answer"] == "We could not approve the refund."
    assert (harness.now - began).total_seconds() == 2 * support_desk.PATIENCE


def test_a_desk_on_workers(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker(agents="examples.support_desk")
    assert support_desk.run(orchestrator, "s1", {"topic": "hours"})["by"] == "first tier"
    handle = orchestrator.spawn("desk.ticket", {"ticket": LARGE}, session="s2")
    wait_until(
        lambda: support_desk.decide(orchestrator, "s2", approved=True, by="kim"), "the question"
    )
    assert handle.result(timeout=60)["by"] == "kim"


# --- the market ---------------------------------------------------------------------------

DEAL = {"units": 10, "budget": 100.0, "seconds": 5.0}


def test_the_cheapest_that_may_trade_in_time(harness: Harness) -> None:
    deal = harness.run("market.desk", DEAL)
    assert deal == {"name": "solid", "price": 25.0, "receipt": "10 units by solid", "bids": 3}
    by_name = {one.args.get("name", one.agent): one.state for one in harness.instances}
    assert by_name["shady"] == by_name["sleepy"] == by_name["swift"] == State.CANCELLED
    assert [one.amounts.usd for one in harness.calls] == [25.0]


def test_what_is_too_dear_is_not_bought(harness: Harness) -> None:
    assert harness.run("market.desk", DEAL | {"units": 1_000}) == {"name": None, "bids": 3}


def test_a_market_on_workers(orchestrator: Orchestrator, start: Programs) -> None:
    start.worker("--concurrency", "8", agents="examples.market")
    start.beat()
    assert market.run(orchestrator)["name"] == "solid"
    [root] = orchestrator.list(agent="market.desk")
    states = {
        node.instance.args.get("name"): node.instance.state
        for top in orchestrator.tree(root.session)
        for node in top.children
    }
    assert states["shady"] == State.CANCELLED

"""The catalogue: near names for a wrong one, and fresh specs after a deploy."""

from __future__ import annotations

import threading

import pytest

from orchestrator.domain.errors import InvalidSpawn
from orchestrator.domain.instance import AgentSpec
from orchestrator.engine import catalogue
from orchestrator.engine.catalogue import Catalogue


class Recorded:
    """What workers have recorded, and how often it was read."""

    def __init__(self, *specs: AgentSpec) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.reads = 0

    def __call__(self) -> dict[str, AgentSpec]:
        self.reads += 1
        return dict(self.specs)


def local(*names: str) -> dict[str, AgentSpec]:
    return {name: AgentSpec(name) for name in names}


def message_for(name: str, known: Catalogue) -> str:
    with pytest.raises(InvalidSpawn) as caught:
        known.find(name)
    assert caught.value.code == "UNKNOWN_AGENT"
    return str(caught.value)


def test_an_agent_of_this_process_needs_no_look() -> None:
    recorded = Recorded(AgentSpec("add", pool="recorded"))
    known = Catalogue(local("add"), recorded)
    assert known.find("add").pool == "default"
    assert recorded.reads == 0


def test_an_agent_of_a_worker_is_found() -> None:
    assert Catalogue({}, Recorded(AgentSpec("far", pool="gpu"))).find("far").pool == "gpu"


def test_a_wrong_name_is_answered_with_the_near_ones() -> None:
    known = Catalogue(local("summarise", "review"), Recorded(AgentSpec("summary")))
    assert "Did you mean summarise or summary?" in message_for("sumarise", known)


def test_without_a_near_name_those_there_are_are_told() -> None:
    known = Catalogue(local("b", "a"), Recorded(AgentSpec("c")))
    assert "Known are: a, b, c." in message_for("entirely-else", known)
    assert "orchestrator worker" in message_for("entirely-else", known)


def test_a_thousand_names_are_not_all_told() -> None:
    many = Catalogue(local(*(f"agent-{n:04}" for n in range(1_000))), Recorded())
    assert len(message_for("~~~", many)) < 1_000


def test_where_no_worker_ever_was_that_is_said() -> None:
    assert "No worker has recorded any agent" in message_for("any", Catalogue({}, Recorded()))


def test_wrong_names_do_not_cost_a_query_each() -> None:
    recorded = Recorded()
    known = Catalogue({}, recorded)
    for _ in range(100):
        message_for("wrong", known)
    assert recorded.reads <= 2  # the second only if the hundred took a second


def test_a_new_agent_is_found_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    known = Catalogue({}, recorded)
    message_for("late", known)
    recorded.specs["late"] = AgentSpec("late")
    monkeypatch.setattr(catalogue, "LOOK_AGAIN", -1.0)
    assert known.find("late").name == "late"


def test_a_known_agent_is_looked_at_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy has changed it; a service must not go by the old signature for ever."""
    recorded = Recorded(AgentSpec("add", parameters=("a",)))
    known = Catalogue({}, recorded)
    assert known.find("add").parameters == ("a",)
    recorded.specs["add"] = AgentSpec("add", parameters=("a", "b"))
    assert known.find("add").parameters == ("a",)
    monkeypatch.setattr(catalogue, "FRESH", -1.0)
    assert known.find("add").parameters == ("a", "b")


def test_a_failing_look_is_the_callers_and_is_repeated() -> None:
    def failing() -> dict[str, AgentSpec]:
        raise ConnectionError("away")

    known = Catalogue({}, failing)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            known.find("add")


def test_many_threads_look_once() -> None:
    recorded = Recorded(AgentSpec("add"))
    known = Catalogue({}, recorded)
    barrier = threading.Barrier(8, timeout=20)

    def look() -> None:
        barrier.wait()
        known.find("add")

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded.reads == 1

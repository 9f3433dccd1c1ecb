"""A message is a hint: twice is once, and lost is late."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Orchestrator
from orchestrator.engine.deps import Deps
from orchestrator.transport.envelope import PRIORITY_SEPARATOR, render
from tests.support.processes import Programs
from tests.support.waiting import wait_until

LEVEL_OF_NEW_NORMAL = 5


def queue_of(deps: Deps) -> str:
    return f"{deps.gate.queues('default')[0]}{PRIORITY_SEPARATOR}{LEVEL_OF_NEW_NORMAL}"


def test_a_duplicate_message_runs_nothing_twice(
    orchestrator: Orchestrator, deps: Deps, start: Programs, ledger: Path, go: Path
) -> None:
    worker = start.worker()
    handle = orchestrator.spawn("hold", {"ledger": str(ledger), "until": str(go)})
    wait_until(ledger.read_text, "it has begun")
    message = render(handle.id, 1, "hold", deps.gate.queues("default")[0], LEVEL_OF_NEW_NORMAL)
    deps.gate.redis.lpush(queue_of(deps), message, message)
    wait_until(lambda: worker.log.read_text().count("turned_away") == 2, "both were turned away")
    assert deps.gate.held() == 1  # the one that runs has kept its slot
    go.touch()
    assert handle.result(timeout=20) == 1
    assert len(ledger.read_text().splitlines()) == 1


def test_a_message_for_an_ended_instance_runs_nothing(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    worker = start.worker()
    handle = orchestrator.spawn("add", {"a": 1})
    handle.result(timeout=20)
    message = render(handle.id, 2, "add", deps.gate.queues("default")[0], LEVEL_OF_NEW_NORMAL)
    deps.gate.redis.lpush(queue_of(deps), message)
    wait_until(lambda: "turned_away" in worker.log.read_text(), "it was turned away")
    assert orchestrator.get(handle.id).attempt == 1


def test_a_lost_message_is_sent_again(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    # Handed out for a worker that offers room but never reads.
    deps.gate.configure(deps.limits, lease=2, dispatch=1, outbox=False)
    deps.gate.heartbeat("absent", "default", 1, [])
    handle = orchestrator.spawn("add", {"a": 1})
    assert handle.status() == "dispatched"
    assert deps.gate.redis.delete(queue_of(deps)) == 1
    start.beat()
    start.worker()
    assert handle.result(timeout=20) == 2
    reasons = [event.reason for event in orchestrator.events(handle.id)]
    assert "MESSAGE_LOST" in reasons

"""Agents in worker processes talk, and go on talking when a worker dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from orchestrator import Orchestrator, State
from orchestrator.engine.deps import Deps
from tests.support.processes import Programs
from tests.support.waiting import wait_until


def test_a_desk_asks_its_expert_and_a_human(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    start.worker()
    handle = orchestrator.spawn("desk", {"questions": 3}, session="support")
    wait_until(lambda: orchestrator.get(handle.id).reason == "WAITING_FOR_SIGNAL", "it asks")
    wait_until(lambda: deps.gate.held() == 0, "nobody holds a slot")
    assert orchestrator.session("support").shared.get("answers") == [0, 2, 4]
    handle.signal("approval", {"by": "kim"})
    expected = {"answers": [0, 2, 4], "said": {"by": "kim"}, "expert": 3}
    assert handle.result(timeout=30) == expected


def test_a_broadcast_wakes_everybody(
    orchestrator: Orchestrator, deps: Deps, start: Programs
) -> None:
    start.worker()
    handles = [orchestrator.spawn("listen", {"count": 1}, session="s") for _ in range(30)]

    def all_wait() -> bool:
        return all(orchestrator.get(one.id).state is State.WAITING for one in handles)

    wait_until(all_wait, "all wait")
    assert orchestrator.broadcast("s", "now").recipients == 30
    assert [one.result(timeout=30) for one in handles] == [["now"]] * 30


def test_messages_survive_the_worker_that_received_them(
    orchestrator: Orchestrator, start: Programs, ledger: Path
) -> None:
    """Killed in the middle of many: none is lost, none comes twice, and in order per sender."""
    first = start.worker()
    start.beat()
    count, senders = 40, 4
    handle = orchestrator.spawn("listen", {"count": count * senders, "ledger": str(ledger)})

    def send(sender: int) -> None:
        for number in range(count):
            key = f"{sender} {number}"
            for _ in range(2):  # As one who has not heard the answer does.
                orchestrator.send(handle.id, [sender, number], idempotency_key=key)
            if (sender, number) == (0, count // 2):
                first.kill()

    with ThreadPoolExecutor(senders) as threads:
        list(threads.map(send, range(senders)))
    start.worker()
    received = handle.result(timeout=60)
    by_sender = {
        sender: [number for _, number in group]
        for sender, group in groupby(sorted(received, key=lambda one: one[0]), lambda one: one[0])
    }
    assert by_sender == {sender: list(range(count)) for sender in range(senders)}
    assert {one.state for one in orchestrator.messages(handle.id, limit=500)} == {"delivered"}

"""Danger: the commands say that a trail is intact which is not, or cannot read what they wrote."""

from __future__ import annotations

from pathlib import Path

from orchestrator.domain.lifecycle import State
from orchestrator.engine import seal
from orchestrator.engine.deps import Deps
from orchestrator.store.store import Ending
from tests.cli.conftest import Command
from tests.cli.test_every_command import text, value
from tests.store.life import begun, root


def ended(deps: Deps) -> None:
    """An instance with an odd name and three events."""
    one = begun(deps.store, root(deps.store, session="[/s]"))
    deps.store.settle(one.id, 1, Ending(State.COMPLETED, result="1"))


def test_the_trail_is_verified_here_and_elsewhere(
    command: Command, deps: Deps, tmp_path: Path
) -> None:
    ended(deps)
    assert "nothing is sealed" in text(command, "audit", "head")
    assert "0 seals of 0 sessions, 3 events; 3 not sealed yet" in text(command, "audit", "verify")
    assert seal.run_once(deps).sealed == 3
    head = text(command, "audit", "head").strip()
    assert value(command, "audit", "head") == value(command, "audit")
    assert value(command, "audit")["hash"] == head
    assert f"head {head}" in text(command, "audit")
    found = value(command, "audit", "verify", "--anchor", head, "--session", "[/s]")
    assert (found["is_intact"], found["head"], found["events"]) == (True, head, 3)
    file = tmp_path / "trail.jsonl"
    file.write_text(text(command, "audit", "export"))
    assert value(command, "audit", "verify", "--file", str(file))["is_intact"]
    file.write_text(text(command, "audit", "export", "--session", "[/s]", "--until", "2999-01-01"))
    assert value(command, "audit", "verify", "--file", str(file))["events"] == 3
    file.write_text(file.read_text().replace('"completed"', '"failed"'))
    ran = command("audit", "verify", "--file", str(file))
    assert (ran.code, ran.err) == (1, "")
    assert "BROKEN at seal 1, session [/s]" in ran.out

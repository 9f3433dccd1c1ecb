"""An event that is no change of state must not be taken for one, nor change anything."""

from __future__ import annotations

from orchestrator.domain.lifecycle import State
from orchestrator.store.store import Store
from tests.store.life import begun, root


def test_a_note_stands_in_the_trail_and_changes_nothing(store: Store) -> None:
    one = begun(store, root(store))
    assert store.note(one.id, "budget_alert", {"percent": 50}, reason="BUDGET")
    assert store.get(one.id) == one
    note = store.events(one.id)[-1]
    assert (note.kind, note.detail, note.reason) == ("budget_alert", {"percent": 50}, "BUDGET")
    assert (note.from_state, note.to_state) == (State.RUNNING, State.RUNNING)
    assert {event.kind for event in store.events(one.id)[:-1]} == {"state"}


def test_a_note_on_nothing_is_told(store: Store) -> None:
    assert not store.note("00000000-0000-7000-8000-000000000000", "budget_alert", {})

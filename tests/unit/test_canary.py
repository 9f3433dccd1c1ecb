"""Danger: a healthy worker takes itself for a silent one, or a silent one for healthy."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from workers.canary import PATIENCE, Canary


class Setting:
    """A canary, its surroundings, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("workers.canary.time.monotonic", lambda: self.now)
        self.send, self.reconnect, self.give_up = Mock(), Mock(), Mock()
        self.has_room = Mock(return_value=True)
        self.canary = Canary(10.0, self.send, self.has_room, self.reconnect, self.give_up)

    def look(self, times: int = 1) -> None:
        """So many periods pass."""
        for _ in range(times):
            self.now += 10.0
            self.canary.look()


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


def test_one_that_hears_is_left_alone(setting: Setting) -> None:
    for _ in range(10):
        setting.look()
        setting.canary.hear()
    assert not setting.reconnect.called


def test_one_that_hears_nothing_reconnects_then_gives_up(setting: Setting) -> None:
    setting.look(PATIENCE)
    assert not setting.reconnect.called
    setting.look()
    assert setting.reconnect.call_count == 1
    setting.look(PATIENCE)
    assert not setting.give_up.called
    setting.look()
    assert (setting.reconnect.call_count, setting.give_up.call_count) == (1, 1)


def test_one_that_recovers_may_reconnect_again(setting: Setting) -> None:
    for times in (1, 2):
        setting.look(PATIENCE + 1)
        setting.canary.hear()
        assert setting.reconnect.call_count == times
    assert not setting.give_up.called


def test_a_busy_one_is_excused(setting: Setting) -> None:
    setting.has_room.return_value = False
    setting.look(20)
    setting.has_room.return_value = True
    setting.look(PATIENCE)
    assert not setting.reconnect.called


def test_a_broker_that_is_away_is_no_silence(setting: Setting) -> None:
    setting.send.side_effect = ConnectionError
    setting.look(20)
    setting.send.side_effect = None
    setting.look(PATIENCE)
    assert not setting.reconnect.called

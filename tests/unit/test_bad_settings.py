"""Settings: each bad value is one error that names key and value; sources have an order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.config.stack_file import StackFile
from orchestrator.domain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and environment."""
    for name in [name for name in os.environ if name.upper().startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD = [
    ("redis_url", "http://localhost"),
    ("redis_url", ""),
    ("database_url", "mysql://localhost/x"),
    ("gate", "a b"),
    ("gate", "a}b"),
    ("gate", ""),
    ("max_payload_bytes", "0"),
    ("max_payload_bytes", "many"),
    ("default_timeout", "-1"),
    ("default_timeout", "inf"),
    ("default_timeout", "nan"),
    ("heartbeat", "0"),
    ("heartbeat", "fast"),
    ("lease", "-15"),
    ("lease", "inf"),
    ("dispatch_timeout", "0"),
    ("shutdown_grace", "-1"),
    ("sweep_every", "0"),
    ("reap_every", "nan"),
    ("reconcile_every", "never"),
    ("worker_concurrency", "0"),
    ("worker_concurrency", "1.5"),
    ("task_events", "maybe"),
    ("log_level", "LOUD"),
    ("limits.max_depth", "-1"),
    ("limits.max_depth", "deep"),
    ("limits.session_concurrency", "0"),
    ("limits.tenant_queue", "1.5"),
    ("limits", "many"),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_variable_is_named_with_its_value(
    key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ORCHESTRATOR_{key.upper().replace('.', '__')}", value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert caught.value.code == "CONFIGURATION"
    assert key.rpartition(".")[2] in str(caught.value)
    assert value in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("leese = 5", "leese"),
        ("lease = 'long'", "lease = 'long'"),
        ("[limits]\nmax_depth = -1", "max_depth is -1"),
        ("[limits]\nsession = 3", "session"),
        ("lease = ", "not valid TOML"),
        ("lease = 5\nlease = 6", "not valid TOML"),
    ],
)
def test_a_bad_line_of_the_file_is_named(folder: Path, line: str, words: str) -> None:
    (folder / "orchestrator.toml").write_text(line)
    with pytest.raises(ConfigurationError, match=words):
        Settings.load()


def test_a_file_that_is_no_text_is_one_clear_error(folder: Path) -> None:
    (folder / "orchestrator.toml").write_bytes(b"gate = '\xff\xfe'")
    with pytest.raises(ConfigurationError, match=r"orchestrator\.toml"):
        Settings.load()


def test_a_misspelt_limit_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__SESION_CONCURRENCY", "3")
    with pytest.raises(ConfigurationError, match="sesion_concurrency"):
        Settings.load()


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "x")
    monkeypatch.setenv("ORCHESTRATOR_LOG_LEVEL", "y")
    with pytest.raises(ConfigurationError, match=r"lease = 'x'.*log_level = 'y'"):
        Settings.load()


def test_a_password_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "rediss+odd://:s3cret@host/0")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert "redis_url" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_urls_are_not_shown_with_the_settings() -> None:
    settings = Settings.load(redis_url="redis://:s3cret@h/0", database_url="postgres://u:s3cret@h")
    assert "s3cret" not in repr(settings) + str(settings)


def test_a_lease_must_outlast_lost_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "8.9")
    with pytest.raises(ConfigurationError, match=r"lease \(8\.9 s\).*\(3 s"):
        Settings.load()
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "9")
    assert Settings.load().lease == 9


def test_the_defaults_are_those_of_the_design() -> None:
    settings = Settings.load()
    assert (settings.heartbeat, settings.lease) == (3, 15)
    assert (settings.sweep_every, settings.reap_every, settings.reconcile_every) == (5, 60, 60)
    assert settings.limits.session_concurrency == 10
    assert settings.redis_url is settings.database_url is None


def test_code_wins_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "orchestrator.toml").write_text("lease = 21\nreap_every = 22\nsweep_every = 23")
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "31")
    monkeypatch.setenv("ORCHESTRATOR_REAP_EVERY", "32")
    settings = Settings.load(lease=41)
    assert (settings.lease, settings.reap_every, settings.sweep_every) == (41, 32, 23)


def test_the_file_may_hold_everything(folder: Path) -> None:
    (folder / "orchestrator.toml").write_text(
        'gate = "mine"\nagents = ["one", "two"]\n[limits]\nmax_depth = 2\ntenant_queue = 3\n'
    )
    settings = Settings.load()
    assert (settings.gate, settings.agents) == ("mine", ("one", "two"))
    assert (settings.limits.max_depth, settings.limits.tenant_queue) == (2, 3)


def test_a_limit_from_the_environment_leaves_the_others_as_in_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "orchestrator.toml").write_text("[limits]\nmax_depth = 2\ntenant_queue = 3\n")
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__MAX_DEPTH", "4")
    limits = Settings.load().limits
    assert (limits.max_depth, limits.tenant_queue, limits.session_concurrency) == (4, 3, 10)


def test_agents_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_AGENTS", " one.agents, two ,,")
    assert Settings.load().agents == ("one.agents", "two")


def test_without_servers_it_says_how_to_get_some() -> None:
    with pytest.raises(ConfigurationError, match=r"orchestrator dev.*ORCHESTRATOR_REDIS_URL"):
        Settings.load().located()


def test_a_running_stack_fills_in_what_is_not_set(folder: Path) -> None:
    StackFile.of_this_process("redis://stack", "postgresql://stack").write(folder)
    found = Settings.load(state_dir=folder, redis_url="redis://mine").located()
    assert (found.redis_url, found.database_url) == ("redis://mine", "postgresql://stack")

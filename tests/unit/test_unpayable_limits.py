"""Resources: buckets that keep a limit in every window, and declarations that cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.settings import Settings
from orchestrator.domain.call import CallRefusal, CallVerdict
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.resource import UNDECLARED, BreakerPolicy, Resource, by_name


@given(
    limit=st.integers(1, 10**9),
    burst=st.floats(0.001, 0.999),
    usd=st.floats(0.001, 1e6),
)
def test_capacity_and_refill_are_never_more_than_the_limit(
    limit: int, burst: float, usd: float
) -> None:
    resource = Resource("r", requests_per_minute=limit, usd_per_hour=usd, burst=burst)
    buckets = resource.buckets()
    requests = buckets["requests"]
    assert requests.capacity >= 1
    assert requests.refill > 0
    if limit > 1:
        assert requests.capacity + requests.refill <= limit
    else:
        # The second call comes after more than a minute.
        assert requests.refill * 60_000 / 60_000 < 1
    assert buckets["usd"].capacity + buckets["usd"].refill <= usd * (1 + 1e-15)


def test_the_default_is_sixty_a_minute() -> None:
    requests = Resource("r").buckets()["requests"]
    assert (requests.capacity, requests.refill, requests.window) == (6, 54, 60)
    assert set(Resource("r").buckets()) == {"requests"}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a b"},
        {"requests_per_minute": 0},
        {"input_tokens_per_minute": -1},
        {"output_tokens_per_minute": float("nan")},
        {"usd_per_hour": 0},
        {"usd_per_hour": float("inf")},
        {"concurrency": 0},
        {"burst": 0},
        {"burst": 1},
        {"token_burst": 1.5},
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(fields)) + "|name a resource"):
        Resource(**{"name": "r"} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"failures": 0},
        {"failure_rate": 0},
        {"slow_rate": 1.1},
        {"slow_call": 0},
        {"min_calls": 0},
        {"window": -1},
        {"cooldown": 0},
        {"max_cooldown": 1},
        {"probes": 0},
        {"ramp": float("inf")},
    ],
)
def test_no_breaker_is_like_that(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(fields))):
        BreakerPolicy(**fields)


def test_a_resource_survives_json() -> None:
    for one in (
        Resource("a/b", usd_per_hour=0.5, breaker=BreakerPolicy(failures=None, slow_rate=0.5)),
        Resource("c", breaker=None, per_tenant=True),
    ):
        text = json.dumps(one.to_dict())
        assert Resource.from_dict(one.name, json.loads(text)) == one
        assert Resource.from_dict(one.name, json.loads(text) | {"of_later": 1}) == one
    assert Resource.from_dict("d", {}) == Resource("d")


def test_the_parts_of_shards_are_never_more_than_the_whole() -> None:
    whole = Resource("r", requests_per_minute=60, concurrency=7, usd_per_hour=1)
    part = whole.part(4)
    assert (part.requests_per_minute, part.concurrency, part.usd_per_hour) == (15, 1, 0.25)
    assert part.breaker == BreakerPolicy(probes=1)
    assert whole.part(1) is whole
    each = Resource("r", concurrency=1, per_tenant=True)
    assert each.part(4) is each
    with pytest.raises(ConfigurationError, match="4 shards"):
        Resource("r", concurrency=3).part(4)
    assert Resource(UNDECLARED).part(100).requests_per_minute == 1


def test_a_later_declaration_wins() -> None:
    first, second = Resource("r"), Resource("r", concurrency=1)
    assert by_name([first], [second]) == {"r": second}


@pytest.mark.parametrize("code", CallRefusal)
def test_every_refusal_has_words(code: CallRefusal) -> None:
    error = CallVerdict("refused", code, "usd", 1.25).to_error("llm")
    assert "llm" in str(error)
    assert str(error).endswith("Repeat after 1.2 s.")
    assert error.to_dict() == {
        "code": code,
        "message": str(error),
        "retryable": True,
        "resource": "llm",
        "scope": "usd",
        "retry_after": 1.25,
    }
    assert "Repeat" not in str(CallVerdict("refused", code, "usd").to_error("llm"))


class TestSettings:
    """From the file and the environment."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("ORCHESTRATOR_RESOURCES", raising=False)
        return tmp_path

    def test_a_file_declares(self, folder: Path) -> None:
        (folder / "orchestrator.toml").write_text(
            '[resources."anthropic/opus"]\nrequests_per_minute = 30\n'
            '[resources."anthropic/opus".breaker]\ncooldown = 5\n'
        )
        wanted = Resource(
            "anthropic/opus", requests_per_minute=30, breaker=BreakerPolicy(cooldown=5)
        )
        assert Settings.load().resources == {"anthropic/opus": wanted}

    def test_the_environment_declares(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORCHESTRATOR_RESOURCES", '{"llm": {"concurrency": 2}}')
        assert Settings.load().resources == {"llm": Resource("llm", concurrency=2)}

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ('{"llm": {"concurrency": 0}}', "concurrency"),
            ('{"llm": {"concurency": 2}}', "concurency"),
            ('{"l m": {}}', "l m"),
            ('{"llm": 5}', "llm"),
            ("[]", "resources"),
            ("{", "resources"),
        ],
    )
    def test_a_bad_declaration_is_named(
        self, text: str, word: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ORCHESTRATOR_RESOURCES", text)
        with pytest.raises(ConfigurationError, match=word):
            Settings.load()

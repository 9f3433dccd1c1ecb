"""What providers answer: whose fault a failure is, and what their headers say."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from urllib.error import HTTPError

import pytest

from orchestrator.domain.call import Outcome
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.domain.provider import Hint, classify, hint_of, read_headers


class Answer:
    """A response as client libraries hold it."""

    def __init__(self, status_code: int, headers: object) -> None:
        self.status_code, self.headers = status_code, headers


class StatusError(Exception):
    """As of httpx: the response hangs on the exception."""

    def __init__(self, response: Answer) -> None:
        super().__init__("status")
        self.response = response


class APIConnectionError(Exception):
    """As of openai and anthropic: no OSError, no status."""


class ReadTimeout(Exception):  # so called in httpx
    """As of httpx."""


class Items:
    """Headers that are no Mapping."""

    def items(self) -> list[tuple[str, str]]:
        """As they came."""
        return [("Retry-After", "3")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StatusError(Answer(429, {})), Outcome.RATE_LIMITED),
        (StatusError(Answer(503, {})), Outcome.TRANSIENT),
        (StatusError(Answer(408, {})), Outcome.TRANSIENT),
        (StatusError(Answer(404, {})), Outcome.CALLER),
        (HTTPError("http://x", 502, "bad gateway", Message(), None), Outcome.TRANSIENT),
        (APIConnectionError(), Outcome.TRANSIENT),
        (ReadTimeout(), Outcome.TRANSIENT),
        (TimeoutError(), Outcome.TRANSIENT),
        (ConnectionRefusedError(), Outcome.TRANSIENT),
        (ValueError("code 500"), Outcome.CALLER),
        # Our own troubles say nothing about the provider.
        (StoreUnavailable("STORE_UNAVAILABLE", "away"), Outcome.CALLER),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_whose_it_is(error: Exception, outcome: Outcome) -> None:
    assert classify(error) is outcome


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({}, Hint()),
        ({"Retry-After": "20"}, Hint(20)),
        ({"retry-after": "0.5", "retry-after-ms": "250"}, Hint(0.25)),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 12:01:00 GMT",
                "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
            },
            Hint(60),
        ),
        # A date alone cannot be compared with anything, and what is unreadable says nothing.
        ({"Retry-After": "Sat, 21 Nov 2026 12:01:00 GMT"}, Hint()),
        ({"Retry-After": "soon", "Date": "now"}, Hint()),
        ({"Retry-After": "-5"}, Hint()),
        ({"Retry-After": "inf"}, Hint()),
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-input-tokens-remaining": "80000",
                "anthropic-ratelimit-output-tokens-remaining": "nan",
            },
            Hint(0, {"requests": 49, "input_tokens": 80_000}),
        ),
        (
            {"x-ratelimit-remaining-requests": "59", "x-ratelimit-remaining-tokens": "149984"},
            Hint(0, {"requests": 59, "input_tokens": 149_984}),
        ),
        # The smaller one is the truth.
        ({"RateLimit-Remaining": "7", "X-RateLimit-Remaining": "9"}, Hint(0, {"requests": 7})),
    ],
)
def test_headers_are_read(headers: Mapping[str, str], hint: Hint) -> None:
    assert read_headers(headers) == hint


def test_headers_are_found_on_an_exception() -> None:
    assert hint_of(StatusError(Answer(429, {"Retry-After": "7"}))) == Hint(7)
    assert hint_of(StatusError(Answer(429, Items()))) == Hint(3)
    message = Message()
    message["Retry-After"] = "9"
    assert hint_of(HTTPError("http://x", 429, "too many", message, None)) == Hint(9)
    assert hint_of(ValueError()) == Hint()

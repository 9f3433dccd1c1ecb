"""What the answers of providers tell: whose fault a failure is, and what is left of their limits.

Understood are the headers of Anthropic, of OpenAI and those who copy it, `RateLimit-*` of the
IETF draft "RateLimit header fields for HTTP", and `Retry-After` (RFC 9110, section 10.2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.domain.call import Outcome
from orchestrator.domain.errors import OrchestratorError

#: Header, in lower case -> which bucket it tells of
REMAINING = {
    "anthropic-ratelimit-requests-remaining": "requests",
    "anthropic-ratelimit-input-tokens-remaining": "input_tokens",
    "anthropic-ratelimit-output-tokens-remaining": "output_tokens",
    "x-ratelimit-remaining-requests": "requests",
    "x-ratelimit-remaining-tokens": "input_tokens",
    "x-ratelimit-remaining": "requests",
    "ratelimit-remaining": "requests",
}

#: Seconds that a provider is left alone who says "too many" without saying for how long.
UNTOLD_RETRY = 1.0

#: Words in the names of exception classes whose cause is on the way or on the other side. Client
#: libraries have hierarchies of their own: httpx.TransportError is no OSError.
_TRANSIENT = re.compile(r"Timeout|Connection|Connect|TransportError|Overloaded|Unavailable")
#: Statuses below 500 that say "later", not "never".
_LATER = {408, 425}


@dataclass(frozen=True)
class Hint:
    """What a provider has said of its limits."""

    #: seconds for which it wants no calls
    retry_after: float = 0.0
    #: `requests`, `input_tokens`, `output_tokens` -> how much it still allows now
    left: Mapping[str, float] = field(default_factory=dict)


def read_headers(headers: Mapping[str, str]) -> Hint:
    """What the headers of a response say; unreadable ones say nothing."""
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    left: dict[str, float] = {}
    for name, bucket in REMAINING.items():
        if (amount := _number(lower.get(name))) is not None:
            left[bucket] = min(amount, left.get(bucket, amount))
    return Hint(_retry_after(lower), left)


def classify(error: BaseException) -> Outcome:
    """Whose fault a failure is, by its HTTP status or by what it is called."""
    if isinstance(error, OrchestratorError):
        return Outcome.CALLER
    status = status_of(error)
    if status is not None:
        return _class_of(status)
    if isinstance(error, TimeoutError | OSError):
        return Outcome.TRANSIENT
    names = (kind.__name__ for kind in type(error).__mro__)
    return Outcome.TRANSIENT if any(map(_TRANSIENT.search, names)) else Outcome.CALLER


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception of a client library carries."""
    for owner in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(owner, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return int(value)
    return None


def hint_of(error: BaseException) -> Hint:
    """What the response that an exception carries says of limits."""
    for owner in (getattr(error, "response", None), error):
        headers: Any = getattr(owner, "headers", None)
        if isinstance(headers, Mapping):
            return read_headers(headers)
        if headers is not None and hasattr(headers, "items"):
            return read_headers(dict(headers.items()))
    return Hint()


def _class_of(status: int) -> Outcome:
    if status == 429:
        return Outcome.RATE_LIMITED
    return Outcome.TRANSIENT if status >= 500 or status in _LATER else Outcome.CALLER


def _retry_after(headers: Mapping[str, str]) -> float:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds or 0.0
    try:
        # A date means something only beside the server's own.
        gap = parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return 0.0
    return max(0.0, gap.total_seconds())


def _number(text: str | None) -> float | None:
    if text is None or re.fullmatch(r"\s*\d{1,15}(\.\d{1,9})?\s*", text) is None:
        return None
    return float(text)

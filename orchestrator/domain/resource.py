"""Things outside that are limited: an LLM provider, a model, a tool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.names import is_identifier

MINUTE, HOUR = 60.0, 3_600.0

#: The name under which the limits of resources that nobody declared are known.
UNDECLARED = "*"


@dataclass(frozen=True)
class BreakerPolicy:
    """When calls of a resource are stopped, and how they begin again. Times are seconds.

    It trips on whichever comes first: so many failures one after another, a share of failed
    calls, or a share of slow ones; the shares only once `min_calls` were made in the `window`.
    None turns a condition off.
    """

    #: failures one after another
    failures: int | None = 5
    #: share of failed calls, above 0 and up to 1
    failure_rate: float | None = 0.5
    #: share of slow calls, and from when on a call is slow
    slow_rate: float | None = None
    slow_call: float = 60.0
    #: what the shares are taken of
    min_calls: int = 20
    window: float = 60.0
    #: how long it stays open at first; twice as long each time it trips again, up to the cap
    cooldown: float = 30.0
    max_cooldown: float = 600.0
    #: calls that are let through to see whether the resource is well again
    probes: int = 3
    #: how long until as many as before are let through again
    ramp: float = 30.0

    def __post_init__(self) -> None:
        _check(self, self.failures is None or self.failures >= 1, "failures", "at least 1")
        for name in ("failure_rate", "slow_rate"):
            value = getattr(self, name)
            _check(self, value is None or 0 < value <= 1, name, "above 0 and up to 1")
        for name in ("min_calls", "probes"):
            _check(self, getattr(self, name) >= 1, name, "at least 1")
        for name in ("slow_call", "window", "cooldown"):
            _check(self, 0 < getattr(self, name) < math.inf, name, "above 0 seconds")
        _check(self, 0 <= self.ramp < math.inf, "ramp", "0 seconds or more")
        _check(
            self,
            self.cooldown <= self.max_cooldown < math.inf,
            "max_cooldown",
            "the cooldown or more",
        )


@dataclass(frozen=True)
class Bucket:
    """A token bucket: it holds `capacity` and gains `refill` in each `window` seconds.

    `capacity + refill <= limit`, so that no window, wherever it begins, sees more than `limit`.
    """

    limit: float
    window: float
    capacity: float
    refill: float


@dataclass(frozen=True)
class Resource:
    """How much of a resource all agents together may use. None: as much as they like."""

    name: str
    requests_per_minute: int | None = 60
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    usd_per_hour: float | None = None
    #: calls under way at once
    concurrency: int | None = None
    #: whether each tenant has these limits, and a breaker, of its own
    per_tenant: bool = False
    #: the share of the limit that may come at once; what is left comes evenly. Of requests, and
    #: of tokens and money, where it also bounds a single call
    burst: float = 0.1
    token_burst: float = 0.25
    #: None: calls are never stopped
    breaker: BreakerPolicy | None = field(default_factory=BreakerPolicy)

    def __post_init__(self) -> None:
        if self.name != UNDECLARED and not is_identifier(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot name a resource: use 1 to 100 letters, digits and _ . / - , "
                'beginning with a letter or digit, as in "anthropic/opus".'
            )
        for name in ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"):
            value = getattr(self, name)
            _check(self, value is None or 1 <= value < math.inf, name, "at least 1")
        usd = self.usd_per_hour
        _check(self, usd is None or 0 < usd < math.inf, "usd_per_hour", "above 0")
        _check(self, self.concurrency is None or self.concurrency >= 1, "concurrency", "at least 1")
        for name in ("burst", "token_burst"):
            _check(self, 0 < getattr(self, name) < 1, name, "above 0 and below 1")

    def buckets(self) -> dict[str, Bucket]:
        """The buckets by what is counted: `requests`, `input_tokens`, `output_tokens`, `usd`."""
        found = {
            "requests": _bucket(self.requests_per_minute, MINUTE, self.burst),
            "input_tokens": _bucket(self.input_tokens_per_minute, MINUTE, self.token_burst),
            "output_tokens": _bucket(self.output_tokens_per_minute, MINUTE, self.token_burst),
            "usd": _bucket(self.usd_per_hour, HOUR, self.token_burst, whole=False),
        }
        return {name: bucket for name, bucket in found.items() if bucket is not None}

    def part(self, parts: int) -> Resource:
        """What each of several shards of the gate may use; together never more than the whole."""
        if parts == 1 or self.per_tenant:
            return self
        names = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
        counts = {
            name: value // parts
            for name in (*names, "concurrency")
            if (value := getattr(self, name)) is not None
        }
        if 0 in counts.values() and self.name != UNDECLARED:
            raise ConfigurationError(
                f"{self.name} cannot be dealt out to {parts} shards: {self}. Raise its limits, use "
                "fewer shards, or give each tenant limits of its own (per_tenant)."
            )
        usd = None if self.usd_per_hour is None else self.usd_per_hour / parts
        least = {name: max(1, count) for name, count in counts.items()}
        breaker = self.breaker and replace(
            self.breaker, probes=max(1, self.breaker.probes // parts)
        )
        return replace(self, **least, usd_per_hour=usd, breaker=breaker)

    def to_dict(self) -> dict[str, Any]:
        """The resource as JSON, without its name."""
        return {name: value for name, value in asdict(self).items() if name != "name"}

    @classmethod
    def from_dict(cls, name: str, value: Mapping[str, Any]) -> Resource:
        """The resource that `to_dict` wrote. What this version does not know is left out."""
        known = _known(cls, value)
        if known.get("breaker") is not None:
            known["breaker"] = BreakerPolicy(**_known(BreakerPolicy, known["breaker"]))
        return cls(**known | {"name": name})


def by_name(*declared: Iterable[Resource]) -> dict[str, Resource]:
    """Resources by name; a later declaration of a name replaces an earlier one."""
    return {resource.name: resource for group in declared for resource in group}


def _bucket(
    limit: float | None, window: float, burst: float, *, whole: bool = True
) -> Bucket | None:
    if limit is None:
        return None
    capacity = max(1.0, float(math.floor(limit * burst))) if whole else limit * burst
    # A limit of one leaves nothing to refill: the next one comes a millisecond after the window.
    refill = limit - capacity or window / (window + 0.001)
    return Bucket(float(limit), window, capacity, refill)


def _known(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: one for name, one in value.items() if name in names}


def _check(owner: object, ok: bool, name: str, wanted: str) -> None:
    if not ok:
        kind = type(owner).__name__
        value = getattr(owner, name)
        raise ConfigurationError(f"{name} of a {kind} is {value!r}; it must be {wanted}.")

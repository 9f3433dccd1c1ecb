"""What a limit can be set for, as operators write it.

    session  tenant  agent  pool             the default of every one of them
    session:acme/s1  tenant:acme             one of them
    agent:researcher  pool:gpu
    global                                   all instances together
    max_depth  session_queue  tenant_queue  global_queue
    weight:tenant:acme  weight:session:acme/s1

A session is named by its tenant and itself. A slash or percent sign in the name of the tenant
is written `%2F` or `%25`, because the first slash ends it.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

from orchestrator.domain.errors import InvalidRequest, InvalidSpawn
from orchestrator.domain.names import check_identifier, check_label

#: scope -> the field of `Limits` that holds its default; agents have none unless one is set
DEFAULTS: dict[str, str | None] = {
    "session": "session_concurrency",
    "tenant": "tenant_concurrency",
    "agent": None,
    "pool": "pool_concurrency",
    "global": "global_concurrency",
    "max_depth": "max_depth",
    "session_queue": "session_queue",
    "tenant_queue": "tenant_queue",
    "global_queue": "global_queue",
}
#: Scopes of which single ones can be named.
NAMED = ("session", "tenant", "agent", "pool")
#: What shares can be given to.
WEIGHTED = ("tenant", "session")
#: The bounds of what can be set. Weights beyond them would be lost in rounding.
MOST, LEAST_WEIGHT, MOST_WEIGHT = 1_000_000_000, 0.001, 1_000_000.0


@dataclass(frozen=True)
class Scope:
    """One thing that a limit can be set for."""

    #: `session`, `tenant`, ..., or `weight:tenant`, `weight:session`
    kind: str
    #: the one that is meant; empty for the default of all
    name: str = ""
    #: the tenant of a named session
    tenant: str = ""

    @property
    def is_weight(self) -> bool:
        """Whether a share is set instead of a bound."""
        return self.kind.startswith("weight:")

    def __str__(self) -> str:
        if not self.name:
            return self.kind
        home = f"{_escape(self.tenant)}/" if self.tenant else ""
        return f"{self.kind}:{home}{self.name}"


def parse_scope(text: str) -> Scope:
    """The scope that is written so; `InvalidRequest` says what can be written."""
    kind, colon, name = text.partition(":")
    known = NAMED if colon else tuple(DEFAULTS)
    prefix = ""
    if kind == "weight":
        kind, colon, name = name.partition(":")
        known, prefix = WEIGHTED, "weight:"
        if kind in known and not name:
            raise _invalid(text, "a weight is given to one tenant or session")
    if kind not in known:
        raise _invalid(text, _what_there_is(kind, known))
    if colon and not name:
        raise _invalid(text, "the name is missing")
    return _named(text, prefix + kind, name)


def check_value(scope: Scope, value: float | str) -> float:
    """The number to be set; `InvalidRequest` for anything that this scope cannot have."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if scope.is_weight:
        if not LEAST_WEIGHT <= number <= MOST_WEIGHT:
            raise InvalidRequest(
                "INVALID_LIMIT",
                f"The weight of {scope} cannot be {value!r}. It is a number from {LEAST_WEIGHT:g} "
                f"to {MOST_WEIGHT:,.0f}; who has none weighs 1.",
            )
    elif not (0 <= number <= MOST and number == int(number)):
        raise InvalidRequest(
            "INVALID_LIMIT",
            f"The limit of {scope} cannot be {value!r}. It is a whole number from 0 to {MOST:,}; "
            "0 lets nothing start.",
        )
    return number


def _named(text: str, kind: str, name: str) -> Scope:
    tenant = ""
    try:
        if name and kind.endswith("session"):
            tenant, slash, name = name.partition("/")
            if not slash:
                raise _invalid(text, "a session is named with its tenant, as in session:acme/s1")
            tenant = _unescape(tenant)
            check_label("a tenant", tenant)
        if name and kind in ("agent", "pool"):
            check_identifier(f"an {kind}" if kind == "agent" else f"a {kind}", name)
        elif name:
            check_label(f"a {kind.rpartition(':')[2]}", name)
        elif kind.endswith("session") and tenant:
            raise _invalid(text, "the name is missing")
    except InvalidSpawn as error:
        raise _invalid(text, str(error).rstrip(".")) from None
    return Scope(kind, name, tenant)


def _what_there_is(kind: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(kind, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _invalid(text: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        "INVALID_SCOPE",
        f"{text!r} is nothing a limit can be set for: {why}. Examples: session, tenant:acme, "
        "agent:researcher, session:acme/s1, weight:tenant:acme.",
    )


def _escape(tenant: str) -> str:
    return tenant.replace("%", "%25").replace("/", "%2F")


def _unescape(tenant: str) -> str:
    return tenant.replace("%2F", "/").replace("%2f", "/").replace("%25", "%")

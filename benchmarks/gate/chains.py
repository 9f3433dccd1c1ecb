"""The gate's decisions put together from separate libraries, one round trip after the other.

The links are the cheapest that decide each part at all. Nothing makes them one decision: two
processes may pass between two links, and what the first links took stays taken when a later one
refuses. To undo that, or to hold a lock around it, would cost more; neither is done here.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from benchmarks.gate import peers
from benchmarks.gate.peers import Use

_SCOPES = ("session", "tenant", "pool", "global")


@dataclass(frozen=True)
class Chain:
    """Take all, and give back what must be given back."""

    take: Use
    give_back: Use


def admission(client: redis.Redis) -> Chain:
    """What check-in decides: not seen before, and room in the session, tenant, pool and in all.

    Not in the chain: depth, the parent's fence, what live workers offer, bounds of the queue.
    """
    places = [peers.semaphore(client, scope) for scope in _SCOPES]

    def take(name: str) -> None:
        client.set(f"seen:{name}", "1", nx=True, ex=600)
        for take_one, _ in places:
            take_one(name)

    def give_back(name: str) -> None:
        for _, give_one_back in places:
            give_one_back(name)

    return Chain(take, give_back)


def call(client: redis.Redis, url: str) -> Chain:
    """What a call of a resource decides: breaker, requests and tokens a minute, calls at once.

    Not in the chain: output tokens and money, the refund of what was not used, turns.
    """
    guard = peers.breaker(client)
    requests, tokens = peers.window(url, "requests"), peers.window(url, "tokens")
    take_place, give_back = peers.semaphore(client, "calls")

    def take(name: str) -> None:
        guard(name)
        requests(name)
        tokens(name)
        take_place(name)

    return Chain(take, give_back)

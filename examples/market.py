"""A market desk: traders bid for work by messages, within a budget and until a deadline.

A compliance agent looks at every deal, and cancels traders it does not like. While `orchestrator
dev` runs (it loads these agents): ``python -m examples.market``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from orchestrator import (
    AgentCancelled,
    Budget,
    Context,
    Handle,
    NothingReceived,
    Orchestrator,
    agent,
)

#: What each trader asks for a unit, and how many seconds it thinks about it.
TRADERS = {
    "swift": {"price": 4.0, "thinks": 0.0},
    "shady": {"price": 1.0, "thinks": 0.1},
    "solid": {"price": 2.5, "thinks": 0.3},
    "sleepy": {"price": 0.5, "thinks": 3600.0},
}
BANNED = ("shady",)

Deal = dict[str, Any]


@agent("market.trader", resources=("market/exchange",))
def trader(ctx: Context, name: str, units: int, desk: str) -> Deal:
    """Bids once, and works if it is told to."""
    ctx.sleep(TRADERS[name]["thinks"])
    price = TRADERS[name]["price"] * units
    ctx.send(desk, {"name": name, "price": price})
    ctx.signal("award")
    with ctx.call("market/exchange", usd=price) as call:
        receipt = call.run(lambda: f"{units} units by {name}")
        call.settle(usd=price)
    return {"name": name, "price": price, "receipt": receipt}


@agent("market.compliance")
def compliance(ctx: Context) -> None:
    """Answers for every deal whether it may be made, and cancels who may not trade at all."""
    while True:
        message = ctx.receive()
        is_banned = message.body["name"] in BANNED
        if is_banned:
            ctx.log.warning("market.banned", trader=message.body["name"])
            ctx.handle(message.body["trader"]).cancel()
        ctx.reply(message, not is_banned)


@agent("market.desk")
def desk(ctx: Context, units: int, budget: float, seconds: float) -> Deal:
    """Has the work done by the cheapest bidder that compliance lets pass."""
    officer = ctx.spawn("market.compliance")
    traders = {
        name: ctx.spawn("market.trader", {"name": name, "units": units, "desk": ctx.id})
        for name in sorted(TRADERS)
    }
    bids = collect(ctx, len(traders), ctx.now() + timedelta(seconds=seconds))
    for bid in sorted(bids, key=lambda one: float(one["price"])):
        if bid["price"] > budget:
            break
        if ctx.request(officer, bid | {"trader": traders[bid["name"]].id}):
            return award(ctx, traders[bid["name"]], len(bids))
    return {"name": None, "bids": len(bids)}


def collect(ctx: Context, most: int, deadline: datetime) -> list[Deal]:
    """All bids that come in time. No worker waits for them."""
    bids: list[Deal] = []
    while len(bids) < most:
        left = (deadline - ctx.now()).total_seconds()
        try:
            bids.append(ctx.receive(timeout=max(0.0, left)).body)
        except NothingReceived:
            break
    return bids


def award(ctx: Context, winner: Handle, bids: int) -> Deal:
    """Let one work. Those who lost end with the desk."""
    winner.signal("award")
    try:
        deal: Deal = ctx.wait(winner)
    except AgentCancelled:
        return {"name": None, "bids": bids}
    return deal | {"bids": bids}


def run(orchestrator: Orchestrator, *, units: int = 10, budget: float = 100.0) -> Deal:
    """One deal. The desk and all below it can spend no more than the budget, whatever they do."""
    handle = orchestrator.spawn(
        "market.desk",
        {"units": units, "budget": budget, "seconds": 5.0},
        budget=Budget(usd=budget),
    )
    deal: Deal = handle.result(timeout=60)
    return deal


if __name__ == "__main__":
    with Orchestrator.from_settings() as orchestrator:
        for units in (10, 1_000):
            deal = run(orchestrator, units=units)
            print(f"{units} units: {deal['name'] or 'nobody'} of {deal['bids']} bidders")

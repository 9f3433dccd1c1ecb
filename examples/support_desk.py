"""A support desk: two tiers, escalation, and a human who has to approve larger refunds.

While `orchestrator dev` runs (it loads these agents): ``python -m examples.support_desk``.
"""

from __future__ import annotations

import time
from typing import Any

from orchestrator import Context, NothingReceived, Orchestrator, agent

#: What the first tier can answer by itself.
ANSWERS = {"password": "Use 'forgot password'.", "hours": "We are here from 9 to 17."}
#: A refund above this needs a human.
ALLOWED = 50.0
#: Seconds for which a human is waited for: first an agent of the team, then the lead.
PATIENCE = 3600.0

Ticket = dict[str, Any]
Outcome = dict[str, Any]


@agent("desk.first_tier")
def first_tier(ctx: Context, ticket: Ticket) -> Outcome:
    """Answers what is asked every day, and escalates all else."""
    answer = ANSWERS.get(ticket["topic"])
    if answer is None:
        return {"escalate": "not in the list of answers"}
    return {"answer": answer, "by": "first tier"}


@agent("desk.second_tier")
def second_tier(ctx: Context, ticket: Ticket) -> Outcome:
    """Looks into the matter; may refund a little, and asks a human about more."""
    owed: float = ctx.step("look up the order", look_up, ticket)
    if not owed:
        return {"answer": "Nothing was charged.", "by": "second tier"}
    approver = "second tier" if owed <= ALLOWED else ask_humans(ctx, ticket, owed)
    if approver is None:
        return {"answer": "We could not approve the refund.", "by": "desk"}
    # The key lets the bank see that a repeated request is the same one.
    ctx.step("refund", refund, key=f"refund of {ctx.id}", amount=owed)
    return {"answer": f"{owed:.2f} were refunded.", "by": approver}


def ask_humans(ctx: Context, ticket: Ticket, owed: float) -> str | None:
    """Who approved it; None: it was refused, or nobody came to it. No worker waits meanwhile."""
    for who in ("team", "lead"):
        ctx.shared.set("question", {"to": who, "ticket": ticket, "amount": owed, "ask": ctx.id})
        try:
            decision = ctx.signal("approval", timeout=PATIENCE)
        except NothingReceived:
            continue
        finally:
            ctx.shared.delete("question")
        return decision["by"] if decision["approved"] else None
    return None


@agent("desk.ticket")
def handle_ticket(ctx: Context, ticket: Ticket) -> Outcome:
    """One ticket from the door to its answer."""
    tiers = []
    for tier in ("desk.first_tier", "desk.second_tier"):
        ctx.progress(message=f"with the {tier}")
        tiers.append(tier.removeprefix("desk."))
        outcome: Outcome = ctx.wait(ctx.spawn(tier, {"ticket": ticket}))
        if "escalate" not in outcome:
            return outcome | {"tiers": tiers}
    return {"answer": "We will call you.", "by": "desk", "tiers": tiers}


def look_up(ticket: Ticket) -> float:
    """Stands in for the database of orders: what the customer was charged in error."""
    return float(ticket.get("charged", 0.0))


def refund(key: str, amount: float) -> str:
    """Stands in for the bank."""
    return f"{key}: {amount:.2f}"


def decide(orchestrator: Orchestrator, session: str, *, approved: bool, by: str) -> bool:
    """What a web page would do for a human: answer the question of a session, if there is one."""
    question = orchestrator.session(session).shared.get("question")
    if question is None:
        return False
    orchestrator.signal(question["ask"], "approval", {"approved": approved, "by": by})
    return True


def run(orchestrator: Orchestrator, session: str, ticket: Ticket) -> Outcome:
    """One ticket, answered without a human."""
    handle = orchestrator.spawn("desk.ticket", {"ticket": ticket}, session=session)
    outcome: Outcome = handle.result(timeout=60)
    return outcome


if __name__ == "__main__":
    with Orchestrator.from_settings() as orchestrator:
        print(run(orchestrator, "desk: hours", {"topic": "hours"})["answer"])
        print(run(orchestrator, "desk: small", {"topic": "charge", "charged": 20})["answer"])
        large = {"topic": "charge", "charged": 900}
        waiting = orchestrator.spawn("desk.ticket", {"ticket": large})
        session = orchestrator.get(waiting.id).session
        print("A human is asked about a refund of 900.00, and approves.")
        while not decide(orchestrator, session, approved=True, by="you"):
            time.sleep(0.1)
        print(waiting.result(timeout=60)["answer"])

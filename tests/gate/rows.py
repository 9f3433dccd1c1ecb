"""What PostgreSQL would hold of an instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.admission.accounts import AccountLoad, account_of_session
from orchestrator.domain.budget import Budget
from orchestrator.domain.instance import Instance, NewInstance, Parent
from orchestrator.domain.lifecycle import State
from orchestrator.domain.waits import Dependencies, Wait
from orchestrator.engine.budgets import to_loads
from orchestrator.store.budgets import StoredAccount

#: When all rows are written: a fixed moment, so that the same test does the same at every run.
MOMENT = datetime(2027, 1, 1, tzinfo=UTC)


def in_seconds(seconds: float) -> datetime | None:
    """So long after that moment; None for no time at all."""
    return MOMENT + timedelta(seconds=seconds) if seconds else None


def milliseconds_until(time: datetime | None) -> int:
    """How far a time is from that moment, for a gate that should take it for the present."""
    return 0 if time is None else max(0, round((time - MOMENT).total_seconds() * 1000))


def parent_of(new: NewInstance, attempt: int) -> Parent:
    """This attempt, when it spawns for the first time."""
    return Parent(new.id, attempt, new.session, new.tenant, new.root_id, new.depth, 0)


def row_of(
    new: NewInstance,
    state: State,
    attempt: int,
    worker: str | None = None,
    delay: float = 0.0,
    wait: Wait | None = None,
    depends_on: Dependencies | None = None,
) -> Instance:
    """The row of a spawn in this state; `delay` seconds from now it may start."""
    now = MOMENT
    return Instance(
        id=new.id,
        agent=new.agent,
        session=new.session,
        tenant=new.tenant,
        pool=new.pool,
        priority=new.priority,
        parent_id=new.parent.id if new.parent else None,
        root_id=new.root_id,
        depth=new.depth,
        state=state,
        reason=None,
        attempt=attempt,
        failures=0,
        timeout_seconds=new.timeout_seconds,
        retry=new.retry,
        args={},
        result=None,
        error=None,
        worker=worker,
        not_before=in_seconds(delay),
        created_at=now,
        started_at=None,
        ended_at=None,
        budget=new.budget,
        expires_at=new.expires_at,
        cost=new.cost,
        wait=wait,
        preemptible=new.preemptible,
        depends_on=depends_on,
    )


def load_of(budget: Budget, tenant: str, session: str, version: int = 1) -> AccountLoad:
    """The budget of a session of which nothing was used yet."""
    account = account_of_session(tenant, session)
    stored = StoredAccount(
        account=account,
        session=session,
        tenant=tenant,
        owner=None,
        base=0,
        budget=budget,
        version=version,
        exhausted=None,
        above=(),
        session_account=account,
        used={},
        told={},
        live=(),
    )
    return to_loads([stored])[0]

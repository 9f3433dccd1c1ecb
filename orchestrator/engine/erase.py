"""erase: make the payloads of a session, or of a tenant, unreadable for good.

Where payloads are encrypted, their keys are destroyed: backups of them cannot be read either. What
is not encrypted is overwritten, and stays in backups. Rows, states and the audit trail remain.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine.deps import Deps
from orchestrator.engine.messages import check_name, session_of_another_tenant


@dataclass(frozen=True)
class Erased:
    """What was erased: how many rows of what."""

    tenant: str
    session: str | None
    rows: dict[str, int]


def erase(deps: Deps, tenant: str | None, session: str | None, by: str) -> Erased:
    """Erase the payloads of a session, or of all sessions of a tenant. Nothing there may live."""
    whose = _whose(deps, tenant, session)
    if live := deps.store.erasure.live(whose, session):
        where = f"the tenant {whose!r}" if session is None else f"the session {session!r}"
        raise InvalidRequest(
            "STILL_LIVE",
            f"{live} instances of {where} have not ended, and need their payloads. Wait for them, "
            "or cancel them with `orchestrator cancel`.",
        )
    detail = {"by": by, "scope": "tenant" if session is None else "session"}
    return Erased(whose, session, deps.store.erasure.erase(whose, session, detail))


def _whose(deps: Deps, tenant: str | None, session: str | None) -> str:
    """The tenant; a session has one."""
    if session is None:
        if tenant is None:
            raise InvalidRequest("NOTHING_TO_ERASE", "Name a session or a tenant to erase.")
        check_name("a tenant", tenant)
        return tenant
    check_name("a session", session)
    owner = deps.store.control.tenant_of(session)
    if owner is None:
        raise InvalidRequest("SESSION_NOT_FOUND", f"There is no session {session!r}.")
    if tenant not in (None, owner):
        raise session_of_another_tenant(session, tenant)
    return owner

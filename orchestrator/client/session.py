"""One session, as a service holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.agents.shared import Shared
from orchestrator.domain.instance import Instance, TreeNode
from orchestrator.domain.message import Delivery, Sent


class SessionDesk(Protocol):
    """Where a session asks."""

    def list(self, *, session: str, tenant: str, limit: int) -> Sequence[Instance]:
        """The newest instances of a session."""

    def tree(self, session_or_id: str) -> Sequence[TreeNode]:
        """The trees of a session."""

    def messages(self, session_or_id: str, *, limit: int) -> Sequence[Delivery]:
        """The newest messages in a session."""

    def broadcast(
        self, session_or_id: str, body: Any, *, tenant: str, idempotency_key: str | None
    ) -> Sent:
        """Send to all in a session."""

    def publish(
        self, session: str, topic: str, body: Any, *, tenant: str, idempotency_key: str | None
    ) -> Sent:
        """Send to those who listen to a topic."""


class Session:
    """A session of a tenant: what its agents share, who is in it, and a way to talk to them all.

    It holds nothing but the names; whether the session is the tenant's is checked when it is used.
    """

    def __init__(self, name: str, tenant: str, shared: Shared, desk: SessionDesk) -> None:
        self.name, self.tenant = name, tenant
        #: what its agents share
        self.shared = shared
        self._desk = desk

    def __repr__(self) -> str:
        return f"Session({self.name!r}, tenant={self.tenant!r})"

    def instances(self, limit: int = 100) -> Sequence[Instance]:
        """The newest instances in it, newest first."""
        return self._desk.list(session=self.name, tenant=self.tenant, limit=limit)

    def tree(self) -> Sequence[TreeNode]:
        """The trees in it, oldest first; none before the first spawn."""
        return self._desk.tree(self.name) if self.instances(1) else []

    def messages(self, limit: int = 100) -> Sequence[Delivery]:
        """The newest messages in it and what became of them, oldest first."""
        self.shared.version()  # Refuses a session of another tenant.
        return self._desk.messages(self.name, limit=limit)

    def broadcast(self, body: Any, *, idempotency_key: str | None = None) -> Sent:
        """Send to every live instance in it."""
        return self._desk.broadcast(
            self.name, body, tenant=self.tenant, idempotency_key=idempotency_key
        )

    def publish(self, topic: str, body: Any, *, idempotency_key: str | None = None) -> Sent:
        """Send to those in it that have subscribed to a topic."""
        return self._desk.publish(
            self.name, topic, body, tenant=self.tenant, idempotency_key=idempotency_key
        )

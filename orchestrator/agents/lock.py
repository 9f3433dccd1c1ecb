"""A named lock, as an agent holds it."""

from __future__ import annotations

from typing import Protocol, Self

from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine.running import HeldLock, Left


class LockDesk(Protocol):
    """Where a lock is taken and given back."""

    def take_lock(self, name: str) -> HeldLock:
        """Hold it, waiting for it if need be."""

    def give_lock_back(self, held: HeldLock) -> None:
        """Let go of it."""


class Lock:
    """One holder at a time among all agents of a tenant (`with`).

    It is not reentrant: an instance that holds it and asks for it again waits for itself, which
    is a deadlock.
    """

    def __init__(self, name: str, desk: LockDesk) -> None:
        self.name = name
        self._desk = desk
        self._held: HeldLock | None = None

    @property
    def token(self) -> int:
        """Greater than the token of any holder before.

        Give it along with what you write under the lock, and let the receiver turn away tokens
        smaller than one it has seen: then a holder that lost the lock without noticing can do
        no harm.
        """
        if self._held is None:
            raise InvalidRequest("LOCK_NOT_HELD", f"The lock {self.name!r} is not held now.")
        return self._held.token

    @property
    def is_held(self) -> bool:
        """Whether it is held as far as is known; a worker that is cut off learns late."""
        return self._held is not None and not self._held.is_lost

    def __enter__(self) -> Self:
        self._held = self._desk.take_lock(self.name)
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        held, self._held = self._held, None
        # An instance that is left in the middle to go on later keeps what it holds.
        if held is not None and not (kind is not None and issubclass(kind, Left)):
            self._desk.give_lock_back(held)

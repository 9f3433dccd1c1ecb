"""What a test lets go wrong."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.call import CallRefusal, CallVerdict
from orchestrator.domain.errors import InvalidRequest
from orchestrator.engine.call import Wish
from orchestrator.engine.running import Left


class Died(Left):
    """The worker is gone, in the middle of a function."""


class Repeated(Left):
    """The function is left for no reason but that this may happen anywhere."""


@dataclass
class Crash:
    """A worker that is going to die while it runs an agent."""

    agent: str
    #: the operation it gets to: 0 is the first
    at: int
    #: whether that is done, and dies with it before it is recorded
    unrecorded: bool = False
    has_happened: bool = False

    def strikes(self, agent: str, position: int, *, unrecorded: bool) -> bool:
        """Whether it is now; at most once."""
        is_now = (agent, position, unrecorded) == (self.agent, self.at, self.unrecorded)
        if self.has_happened or not is_now:
            return False
        self.has_happened = True
        return True


@dataclass
class Refusal:
    """A resource that is not to be had."""

    resource: str
    verdict: CallVerdict
    #: how often; None: always
    times: int | None

    def check(self, wish: Wish) -> None:
        """Raise `CallRefused` if this call is one of them."""
        if wish.resource != self.resource or self.times == 0:
            return
        if self.times is not None:
            self.times -= 1
        raise self.verdict.to_error(wish.resource)


def refusal(resource: str, code: str, retry_after: float | None, times: int | None) -> Refusal:
    """A refusal as a test describes it; raises `InvalidRequest`."""
    try:
        why = CallRefusal(code)
    except ValueError:
        codes = ", ".join(CallRefusal)
        raise InvalidRequest("INVALID_CODE", f"{code!r} is none of: {codes}.") from None
    return Refusal(resource, CallVerdict("refused", why, "test", retry_after), times)

"""One call of a resource, as agents and services make it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Protocol, Self

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.provider import UNTOLD_RETRY, Hint, classify, hint_of, read_headers
from orchestrator.engine.call import Wish


class CallDesk(Protocol):
    """Where a call begins and ends."""

    def begin_call(self, wish: Wish) -> Caller:
        """Take what it needs once it is its turn; raises `CallRefused`."""

    def end_call(
        self, caller: Caller, wish: Wish, outcome: Outcome, used: Mapping[str, float], hint: Hint
    ) -> None:
        """Give back what it did not use, and let its result count."""


class Record(Protocol):
    """Where what a call brought is recorded."""

    @property
    def is_there(self) -> bool:
        """Whether an earlier run has recorded it."""

    def read(self) -> Any:
        """What it recorded."""

    def keep(self, value: Any) -> Any:
        """Record it; answers what a later run will read."""


class Call:
    """A call from its turn to its end; used as `with ... as call:` or `async with`.

    Entering waits for the turn and raises `CallRefused`. Leaving tells all workers how it ended:
    an exception is looked at for its HTTP status and its rate-limit headers, whichever client
    library it comes from. The methods only note things down for that.
    """

    def __init__(self, desk: CallDesk, wish: Wish, record: Record | None = None) -> None:
        self._desk, self._wish, self._record = desk, wish, record
        self._caller: Caller | None = None
        self._used: dict[str, float] = {}
        self._outcome: Outcome | None = None
        self._hint = Hint()

    @property
    def id(self) -> str:
        """The id of this call in the ledger; empty until it has begun."""
        return self._caller.id if self._caller else ""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Make the call itself, once: `function(*args, **kwargs)`, whose result is recorded.

        An agent that runs again is given the recorded result, and the whole call takes nothing of
        the resource again. The result is a JSON value. Of an `async def` it is awaited.
        """
        if self._record is not None and self._record.is_there:
            recorded = self._record.read()
            return _ready(recorded) if asyncio.iscoroutinefunction(function) else recorded
        value = function(*args, **kwargs)
        if asyncio.iscoroutine(value):
            return self._keep_awaited(value)
        return value if self._record is None else self._record.keep(value)

    def settle(
        self,
        *,
        requests: float | None = None,
        input_tokens: float | None = None,
        output_tokens: float | None = None,
        usd: float | None = None,
    ) -> None:
        """Say what was really used. What is left out was as estimated."""
        told = {
            "requests": requests,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "usd": usd,
        }
        used = {name: value for name, value in told.items() if value is not None}
        Amounts(**used)
        self._used |= used

    def observe(self, headers: Mapping[str, str]) -> None:
        """Read the rate-limit headers of a response: the shared buckets follow them."""
        self._hear(read_headers(headers))

    def failed(self, outcome: str = "transient", retry_after: float = 0.0) -> None:
        """Say how it failed where no exception says it: transient, rate_limited or caller."""
        if outcome not in (Outcome.TRANSIENT, Outcome.RATE_LIMITED, Outcome.CALLER):
            raise InvalidRequest(
                "INVALID_OUTCOME", f"{outcome!r} is none of: transient, rate_limited, caller."
            )
        self._outcome = Outcome(outcome)
        self._hear(Hint(retry_after))

    def __enter__(self) -> Self:
        if self._record is None or not self._record.is_there:
            self._caller = self._desk.begin_call(self._wish)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._caller is None:
            return
        outcome = self._outcome_of(error)
        if error is not None:
            self._hear(hint_of(error))
        if outcome is Outcome.RATE_LIMITED:
            if not self._hint.retry_after:
                self._hear(Hint(UNTOLD_RETRY))
            # It was turned away at the door: nothing was read or written.
            nothing = {one.name: 0.0 for one in fields(Amounts) if one.name != "requests"}
            self._used = nothing | self._used
        self._desk.end_call(self._caller, self._wish, outcome, self._used, self._hint)

    async def __aenter__(self) -> Self:
        begun = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            # The thread may still get its turn; then it has to be given back.
            begun.add_done_callback(self._return_turn)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.__exit__, kind, error, trace))

    async def _keep_awaited(self, result: Coroutine[Any, Any, Any]) -> Any:
        value = await result
        if self._record is None:
            return value
        return await asyncio.to_thread(self._record.keep, value)

    def _return_turn(self, begun: asyncio.Future[Self]) -> None:
        if not begun.cancelled() and begun.exception() is None:
            self._outcome = Outcome.CALLER
            self.__exit__(None, None, None)

    def _outcome_of(self, error: BaseException | None) -> Outcome:
        if self._outcome is not None:
            return self._outcome
        if error is None:
            return Outcome.SUCCESS
        return classify(error) if isinstance(error, Exception) else Outcome.CALLER

    def _hear(self, hint: Hint) -> None:
        left = dict(self._hint.left)
        for name, amount in hint.left.items():
            left[name] = min(amount, left.get(name, amount))
        self._hint = Hint(max(self._hint.retry_after, hint.retry_after), left)


async def _ready(value: Any) -> Any:
    return value

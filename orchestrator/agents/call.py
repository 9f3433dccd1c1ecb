"""One call of a resource, as agents and services make it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from types import TracebackType
from typing import Self

from orchestrator.admission.calls import Caller
from orchestrator.domain.call import Amounts, Outcome
from orchestrator.domain.errors import InvalidRequest
from orchestrator.domain.provider import UNTOLD_RETRY, Hint, classify, hint_of, read_headers
from orchestrator.engine import call as calls
from orchestrator.engine.deps import Deps
from orchestrator.engine.running import Run


class Call:
    """A call from its turn to its end; used as `with ... as call:` or `async with`.

    Entering waits for the turn and raises `CallRefused`. Leaving tells all workers how it ended:
    an exception is looked at for its HTTP status and its rate-limit headers, whichever client
    library it comes from. The methods only note things down for that.
    """

    def __init__(self, deps: Deps, wish: calls.Wish, run: Run | None = None) -> None:
        self._deps, self._wish, self._run = deps, wish, run
        self._caller: Caller | None = None
        self._used: dict[str, float] = {}
        self._outcome: Outcome | None = None
        self._hint = Hint()

    @property
    def id(self) -> str:
        """The id of this call in the ledger; empty until it has begun."""
        return self._caller.id if self._caller else ""

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
        self._caller = calls.begin(self._deps, self._wish, self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._caller is not None
        outcome = self._outcome_of(error)
        if error is not None:
            self._hear(hint_of(error))
        if outcome is Outcome.RATE_LIMITED:
            if not self._hint.retry_after:
                self._hear(Hint(UNTOLD_RETRY))
            # It was turned away at the door: nothing was read or written.
            nothing = {one.name: 0.0 for one in fields(Amounts) if one.name != "requests"}
            self._used = nothing | self._used
        calls.end(self._deps, self._caller, self._wish, outcome, self._used, self._hint, self._run)

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

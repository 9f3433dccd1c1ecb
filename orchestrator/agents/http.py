"""`http_agent`: an agent that runs elsewhere, behind HTTP.

What runs here is a driver: it asks, waits and asks again, each time as a recorded step, and holds
no slot while the other side works. So it may be left, and come back, like any agent.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from orchestrator.agents import callback, registry
from orchestrator.agents.callback import signal_of
from orchestrator.agents.context import Context
from orchestrator.agents.registry import RegisteredAgent, checked, name_of
from orchestrator.agents.web import AllowList, Answer, NoAnswer, NotAllowed, TooLong, request
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError, NothingReceived
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.provider import read_headers
from orchestrator.domain.resource import Resource
from orchestrator.domain.retry import RetryPolicy

#: Seconds before the first look at work that was accepted; each later one waits half as long again.
FIRST_LOOK = 1.0
LONGEST_PAUSE = 60.0
#: How often a server may say "later" to the same request before the attempt fails.
MOST_LATER = 20
#: Statuses that say "later", not "never".
LATER = {408, 425, 429}
#: What stands in the record for any of them, and for a 503 that says when.
TOLD_LATER = 429


class RemoteRefused(Exception):
    """The remote agent will not do it: the request is wrong, or it says so."""


class RemoteUnavailable(Exception):
    """The remote agent does not answer, or fails. It may not later."""


class RemoteTimeout(Exception):
    """The remote agent has not finished in the time that it was given."""


class RemoteFailed(Exception):
    """The remote agent says that its work has failed."""


#: What no retry can help.
HOPELESS = (RemoteRefused, RemoteTimeout, NotAllowed, TooLong)


@dataclass(frozen=True)
class RemoteAgent:
    """The driver of one remote agent."""

    url: str
    #: seconds for the whole work, and for one request
    deadline: float
    request_timeout: float
    #: sent with every request, by name
    headers: tuple[tuple[str, str], ...] = ()
    #: the agent that tells the other side of a cancellation; empty: nobody does
    canceller: str = ""

    def __call__(self, ctx: Context, **args: Any) -> Any:
        """Have it done there; answers what it answers."""
        until = ctx.now() + timedelta(seconds=self.deadline)
        # The same for all that this try of the work sends; a failed attempt begins another.
        key = callback.key_for(ctx.id, ctx.failures)
        body = {
            "id": ctx.id,
            "agent": ctx.agent,
            "session": ctx.session,
            "tenant": ctx.tenant,
            "deadline": until.isoformat(),
            "args": args,
        }
        extra = {"Idempotency-Key": key, "Deadline": until.isoformat()}
        answer = self._insist(ctx, "post", "POST", self.url, body, extra)
        if answer["status"] != 202:
            return answer["body"]
        where = urljoin(self.url, answer["location"])
        if self.canceller:
            given = {"url": where, "owner": ctx.id, "key": key}
            ctx.spawn(self.canceller, given, after=[ctx.id], on_failure="run", detached=True)
        if not answer["callback"]:
            return self._await(ctx, where, extra, answer["retry_after"], until)
        if not answer["location"]:
            return self._hear(ctx, key, (until - ctx.now()).total_seconds())
        return self._await(ctx, where, extra, answer["retry_after"], until, key)

    def _await(
        self,
        ctx: Context,
        where: str,
        extra: dict[str, str],
        pause: float,
        until: datetime,
        key: str = "",
    ) -> Any:
        """Look, ever less often, until the work is done, or its end is heard of under the key."""
        growing = FIRST_LOOK
        while True:
            if key:
                with suppress(NothingReceived):
                    return self._outcome(ctx.signal(signal_of(key), timeout=pause or growing))
            else:
                ctx.sleep(pause or growing)
            growing = min(LONGEST_PAUSE, 1.5 * growing)
            answer = self._insist(ctx, "poll", "GET", where, None, extra)
            if answer["status"] != 202:
                return answer["body"]
            pause = answer["retry_after"]
            if ctx.now() >= until:
                raise self._late()

    def _hear(self, ctx: Context, key: str, patience: float) -> Any:
        """Wait for the other side to say that it is done; there is nowhere to look."""
        try:
            told = ctx.signal(signal_of(key), timeout=max(0.0, patience))
        except NothingReceived:
            raise self._late() from None
        return self._outcome(told)

    def _outcome(self, told: dict[str, Any]) -> Any:
        if "error" in told:
            raise RemoteFailed(f"{self.url} says: {str(told['error'])[:2_000]}")
        return told["result"]

    def _late(self) -> RemoteTimeout:
        return RemoteTimeout(f"{self.url} has not finished within {self.deadline:g} s.")

    def _insist(
        self, ctx: Context, name: str, method: str, url: str, body: Any, extra: dict[str, str]
    ) -> dict[str, Any]:
        """One request, repeated where the server says when; a failed one fails the attempt."""
        for later in range(MOST_LATER):
            answer: dict[str, Any] = ctx.step(name, self._ask, method, url, body, extra, later)
            if answer["status"] != TOLD_LATER:
                return answer
            ctx.sleep(answer["retry_after"])
        raise AssertionError("the last one raises")

    def _ask(
        self, method: str, url: str, body: Any, extra: dict[str, str], later: int
    ) -> dict[str, Any]:
        settings = Settings.load()
        body, may_call = _with_callback(settings, body, extra["Idempotency-Key"])
        try:
            answer = request(
                AllowList(settings.http_agents_allow),
                method,
                url,
                headers={"Content-Type": "application/json", **dict(self.headers), **extra},
                body=None if body is None else json.dumps(body).encode(),
                timeout=self.request_timeout,
                max_bytes=settings.max_payload_bytes,
            )
        except NoAnswer as error:
            raise RemoteUnavailable(str(error)) from error
        judged = _judged(method, url, answer, may_wait=later + 1 < MOST_LATER)
        return judged | {"callback": may_call}


@dataclass(frozen=True)
class Canceller:
    """The agent that tells a remote one that its work is not wanted any more."""

    remote: RemoteAgent

    def __call__(self, ctx: Context, url: str, owner: str, key: str) -> str:
        """Once the driver has ended: if it was cancelled, pass that on."""
        state = ctx.handle(owner).status()
        if state == "cancelled":
            extra = {"Idempotency-Key": key}
            ctx.step("delete", self.remote._ask, "DELETE", url, None, extra, MOST_LATER)
        return str(state)


def http_agent(
    name: str,
    *,
    url: str,
    headers: dict[str, str] | None = None,
    deadline: float = 3_600.0,
    request_timeout: float = 60.0,
    cancel: bool = False,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
    pool: str = "default",
    resources: tuple[str | Resource, ...] = (),
) -> None:
    """Register an agent that runs elsewhere as the agent `name`: its `url` is sent a POST.

    It answers with its result as JSON, or with 202 and a `Location` where the result will be,
    which is looked at until it is there, for up to `deadline` seconds; or says so itself at the
    `callback` that it was sent, where the settings have one. With `cancel` that location
    is sent a DELETE when the instance is cancelled. `request_timeout` is the seconds of one
    request; `headers` are sent with each. The URL has to be in the setting `http_agents_allow`.
    The other options are those of `@agent`.
    """
    checked("http_agent", name, pool, timeout)
    if not url.startswith(("http://", "https://")) or deadline <= 0 or request_timeout <= 0:
        raise ConfigurationError(
            f"http_agent({name!r}): url begins with http:// or https://, and deadline and "
            "request_timeout are above 0 seconds."
        )
    policy = retry or RetryPolicy()
    policy = replace(policy, give_up_on=(*policy.give_up_on, *HOPELESS))
    options = {"pool": pool, "timeout": timeout, "resources": tuple(map(name_of, resources))}
    canceller = f"{name}.cancel" if cancel else ""
    driver = RemoteAgent(url, deadline, request_timeout, tuple((headers or {}).items()), canceller)
    spec = AgentSpec(name=name, retry=policy, takes_any=True, **options)  # type: ignore[arg-type]  # as given
    registry.REGISTRY.add(RegisteredAgent(spec, driver))
    if cancel:
        parameters = ("url", "owner", "key")
        other = AgentSpec(
            name=canceller, pool=pool, retry=policy, parameters=parameters, required=parameters
        )
        registry.REGISTRY.add(RegisteredAgent(other, Canceller(driver)))
    registry.REGISTRY.declare(one for one in resources if isinstance(one, Resource))


def _with_callback(settings: Settings, body: Any, key: str) -> tuple[Any, bool]:
    """What is sent, with the address of the callback if there is one."""
    base, secret = settings.http_callback_url, settings.http_callback_secret
    if body is None or base is None or secret is None:
        return body, False
    return {**body, "callback": callback.address(base, secret, key)}, True


def _judged(method: str, url: str, answer: Answer, *, may_wait: bool) -> dict[str, Any]:
    """What an answer means, as it is recorded; raises what it failed with."""
    place, status = f"{method} {url.partition('?')[0]}", answer.status
    retry_after = read_headers(answer.headers).retry_after
    if status >= 500 or status in LATER:
        if retry_after and may_wait:
            return {"status": TOLD_LATER, "retry_after": retry_after}
        raise RemoteUnavailable(f"{place} answered {status}: {_shown(answer.body)}")
    if not 200 <= status < 300:
        raise RemoteRefused(f"{place} answered {status}: {_shown(answer.body)}")
    location = answer.headers.get("location", "")
    return {
        "status": status,
        "location": location,
        "retry_after": retry_after,
        "body": None if status in (202, 204) else _value(place, answer.body),
    }


def _value(place: str, body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise RemoteRefused(
            f"{place} answered what is not JSON ({error}): {_shown(body)}"
        ) from None


def _shown(body: bytes) -> str:
    return repr(body[:200].decode(errors="replace"))

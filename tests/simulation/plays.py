"""What is played: small trees of agents, and what services do to them.

Every agent is retried after a crash more often than a schedule has crashes, so how it ends does
not depend on them: `ends` says what is expected of each root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.agents.context import Context
from orchestrator.agents.registry import RegisteredAgent, Registry
from orchestrator.client.orchestrator import Orchestrator
from orchestrator.domain.errors import NothingReceived, ResultPending
from orchestrator.domain.instance import AgentSpec, SpawnRequest
from orchestrator.domain.limits import Limits
from orchestrator.domain.retry import RetryPolicy
from tests.simulation.parties import Deed

#: More than the faults of a schedule.
OFTEN = RetryPolicy(max_attempts=30, first_delay=0.2, max_delay=1.0)
#: Of one who has the turn for as long as it takes.
LONG = 600.0
SESSION = "session"
TWO = Limits(session_concurrency=2)


class Act(Protocol):
    """Does a step of a name, whose action takes some seconds."""

    def __call__(self, ctx: Context, name: str, seconds: float = 0.0, /) -> str:
        """Answers the name."""


@dataclass
class Troupe:
    """What agents and services have of the stage they are on."""

    service: Orchestrator
    #: does a step, whose action takes so many seconds and is noted
    act: Act
    #: the ids of roots by the names that the play gives them
    ids: dict[str, str] = field(default_factory=dict)

    def spawn(self, after: float, name: str, agent: str = "", **options: Any) -> Deed:
        """The service spawns a root that is known by this name."""

        def action() -> None:
            others = [self.ids[one] for one in options.pop("follows", ())]
            handle = self.service.spawn(
                agent or name, session=SESSION, idempotency_key=name, after=others, **options
            )
            self.ids[name] = handle.id

        return Deed(after, f"spawn {name}", action)

    def tell(self, after: float, what: str, action: Callable[[str], object], name: str) -> Deed:
        """The service does something to a root."""
        return Deed(after, f"{what} {name}", lambda: action(self.ids[name]))


Agents = dict[str, Callable[..., Any]]
#: What a root ends as: its state, and its result if it matters.
Ends = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Play:
    """A cast of agents, and the deeds of services: each list is one process."""

    agents: Callable[[Troupe], Agents]
    deeds: Callable[[Troupe], list[list[Deed]]]
    #: the states that each root may end in; where there is one, its result is that of the agent
    ends: Ends
    #: seconds in which it is over if nothing goes wrong, and nobody has to be late for it
    takes: float
    limits: Limits = TWO
    capacity: int = 2


def registry_of(play: Play, troupe: Troupe) -> Registry:
    """The agents of a play, as a worker knows them."""
    registry = Registry()
    for name, function in play.agents(troupe).items():
        spec = AgentSpec(name, takes_any=True, retry=OFTEN, timeout=LONG)
        registry.add(RegisteredAgent(spec, function))
    return registry


# --- chain: each waits for the next, and there is one slot ---


def _chain(troupe: Troupe) -> Agents:
    def link(ctx: Context, left: int) -> int:
        troupe.act(ctx, "before")
        below = ctx.spawn("link", {"left": left - 1}).result() if left else 0
        troupe.act(ctx, "after")
        return int(below) + 1

    return {"link": link}


CHAIN = Play(
    _chain,
    lambda troupe: [[troupe.spawn(0.0, "link", args={"left": 2})]],
    {"link": ("completed",)},
    5.0,
    Limits(session_concurrency=1),
)


# --- fan: one waits for several ---


def _fan(troupe: Troupe) -> Agents:
    def fan(ctx: Context) -> list[Any]:
        handles = ctx.spawn_many([SpawnRequest("leaf", {"n": n}) for n in range(3)])
        found = ctx.wait(handles)
        troupe.act(ctx, "sum")
        return list(found)

    def leaf(ctx: Context, n: int) -> int:
        troupe.act(ctx, "work")
        return n

    return {"fan": fan, "leaf": leaf}


FAN = Play(
    _fan,
    lambda troupe: [[troupe.spawn(0.0, "fan")], [troupe.spawn(0.0, "lone", "leaf", args={"n": 7})]],
    {"fan": ("completed",), "lone": ("completed",)},
    5.0,
)


# --- race: the first of two, or none in time ---


def _race(troupe: Troupe) -> Agents:
    def race(ctx: Context) -> str:
        runners = [ctx.spawn("runner", {"seconds": seconds}) for seconds in (4.0, 90.0)]
        try:
            first = ctx.wait_any(runners, timeout=30.0)
            troupe.act(ctx, "finish")
            found = "first" if first == runners[0] else "second"
        except ResultPending:
            found = "nobody"
        for one in runners:
            one.cancel()
        return found

    def runner(ctx: Context, seconds: float) -> float:
        ctx.sleep(seconds)
        troupe.act(ctx, "arrive")
        return seconds

    return {"race": race, "runner": runner}


RACE = Play(
    _race,
    lambda troupe: [[troupe.spawn(0.0, "race")]],
    {"race": ("completed",)},
    12.0,
    capacity=4,
)


# --- purge: a subtree is cancelled while it grows ---


def _purge(troupe: Troupe) -> Agents:
    def grow(ctx: Context, levels: int) -> int:
        for name in ("left", "right"):
            if levels:
                ctx.spawn("grow", {"levels": levels - 1})
            troupe.act(ctx, name)
        ctx.sleep(20.0)
        return levels

    return {"grow": grow}


PURGE = Play(
    _purge,
    lambda troupe: [
        [
            troupe.spawn(0.0, "grow", args={"levels": 1}),
            troupe.tell(0.0, "cancel", troupe.service.cancel, "grow"),
        ],
        [troupe.spawn(0.0, "beside", "grow", args={"levels": 1})],
    ],
    {"grow": ("cancelled", "completed"), "beside": ("completed",)},
    60.0,
    Limits(session_concurrency=3),
    capacity=4,
)


# --- talk: a message, an answer, a signal ---


def _talk(troupe: Troupe) -> Agents:
    def asker(ctx: Context) -> Any:
        other = ctx.spawn("answerer")
        found = ctx.request(other, {"question": 1})
        troupe.act(ctx, "answered")
        other.result()
        return found

    def answerer(ctx: Context) -> str:
        message = ctx.receive()
        troupe.act(ctx, "asked")
        ctx.reply(message, "yes")
        return "done"

    def listener(ctx: Context) -> Any:
        value = ctx.signal("go")
        troupe.act(ctx, "heard")
        try:
            ctx.signal("stop", timeout=5.0)
        except NothingReceived:
            troupe.act(ctx, "silence")
        return value

    return {"asker": asker, "answerer": answerer, "listener": listener}


TALK = Play(
    _talk,
    lambda troupe: [
        [troupe.spawn(0.0, "asker")],
        [
            troupe.spawn(0.0, "listener"),
            troupe.tell(
                2.0,
                "signal",
                lambda one: troupe.service.signal(one, "go", 5, idempotency_key="go"),
                "listener",
            ),
        ],
    ],
    {"asker": ("completed",), "listener": ("completed",)},
    15.0,
    Limits(session_concurrency=1),
)


# --- queue: locks, and a start after others ---


def _queue(troupe: Troupe) -> Agents:
    def holder(ctx: Context) -> str:
        with ctx.lock("door"):
            troupe.act(ctx, "enter")
            ctx.sleep(1.0)
            troupe.act(ctx, "leave")
        return "held"

    return {"holder": holder}


QUEUE = Play(
    _queue,
    lambda troupe: [
        [
            troupe.spawn(0.0, "first", "holder"),
            troupe.spawn(0.0, "third", "holder", follows=["first"]),
        ],
        [troupe.spawn(0.0, "second", "holder")],
    ],
    {"first": ("completed",), "second": ("completed",), "third": ("completed",)},
    10.0,
)


# --- stumble: failures, tries again, a new beginning ---


def _stumble(troupe: Troupe) -> Agents:
    def stumble(ctx: Context, turn: int = 0) -> str:
        troupe.act(ctx, f"turn {turn}")
        child = ctx.spawn("clumsy")
        child.result()
        if turn == 0:
            ctx.continue_as_new(turn=1)
        return "done"

    def clumsy(ctx: Context) -> int:
        if ctx.failures == 0:
            raise ValueError("the first time it fails")
        troupe.act(ctx, "work")
        return ctx.failures

    return {"stumble": stumble, "clumsy": clumsy}


STUMBLE = Play(
    _stumble,
    lambda troupe: [[troupe.spawn(0.0, "stumble")]],
    {"stumble": ("completed",)},
    10.0,
)


# --- push: something urgent takes a slot, something is paused ---


def _push(troupe: Troupe) -> Agents:
    def work(ctx: Context) -> str:
        for name in ("one", "two", "three"):
            troupe.act(ctx, name)
            ctx.check()
        return "done"

    return {"work": work}


PUSH = Play(
    _push,
    lambda troupe: [
        [
            troupe.spawn(0.0, "low", "work", priority="low"),
            troupe.tell(0.0, "pause", lambda one: troupe.service.pause(f"instance:{one}"), "low"),
            troupe.tell(9.0, "resume", lambda one: troupe.service.resume(f"instance:{one}"), "low"),
        ],
        [
            troupe.spawn(0.0, "normal", "work"),
            troupe.spawn(0.0, "urgent", "work", priority="critical"),
        ],
    ],
    {"low": ("completed",), "normal": ("completed",), "urgent": ("completed",)},
    15.0,
    Limits(session_concurrency=1),
    capacity=1,
)

# --- toil: what takes longer than a lease, in a slot that others wait for ---


def _toil(troupe: Troupe) -> Agents:
    def toil(ctx: Context) -> str:
        troupe.act(ctx, "toil", 40.0)
        return "done"

    return {"toil": toil}


TOIL = Play(
    _toil,
    lambda troupe: [[troupe.spawn(0.0, "one", "toil"), troupe.spawn(0.0, "two", "toil")]],
    {"one": ("completed",), "two": ("completed",)},
    90.0,
    Limits(session_concurrency=1),
)

PLAYS = {
    "toil": TOIL,
    "chain": CHAIN,
    "fan": FAN,
    "race": RACE,
    "purge": PURGE,
    "talk": TALK,
    "queue": QUEUE,
    "stumble": STUMBLE,
    "push": PUSH,
}

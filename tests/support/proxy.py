"""A TCP proxy of our own between a client and a server, which does what networks do.

    proxy = Proxy("127.0.0.1:6379")         # or Proxy(url)
    url = proxy.through(url)                # what clients connect to
    proxy.pause()                           # a partition: nothing arrives, nothing is lost
    proxy.heal()

It runs on a thread of its own; all methods may be called from any thread and have happened when
they return. Other processes use it by its port.

What is wrong at a time is one *fault*, besides latency, which is there or not by itself:

| fault | connections there are | new ones | after `heal` |
|---|---|---|---|
| `reset` | closed with RST | accepted, then RST | new ones work |
| `refuse` | closed with RST | nobody listens: refused | new ones work |
| `black_hole` | what arrives is swallowed | accepted, swallowed | old ones get RST, new ones work |
| `pause` | bytes are kept, the peer seems slow | accepted, kept | all go on, nothing is missing |
| `freeze` | the peer vanished, acknowledges nothing | no answer to SYN | old ones stay dead |

`black_hole` and `pause` can be done to one direction only. To be cut off for a moment: `reset`
and `heal`. `freeze` has the kernel drop what arrives, by a socket filter (Linux); all else works
anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from orchestrator.devstack.ports import LOOPBACK, free_port

Direction = Literal["to_server", "to_client"]
DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_client")
#: Bytes that are read at once.
CHUNK = 65_536
#: Connections that may wait to be accepted.
BACKLOG = 1_024
#: Seconds within which a connection of the proxy to its target is made, or given up.
CONNECT = 5.0

_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER of Linux


class Proxy:
    """Carries bytes between whoever connects to `port` and the target."""

    def __init__(self, target: str, *, seed: int | None = None, port: int | None = None) -> None:
        #: where new connections go; may be changed at any time
        self.target = _address(target)
        self.port = port or free_port()
        #: connections that were accepted, and bytes that were delivered, since the beginning
        self.accepted = 0
        self.delivered: Counter[Direction] = Counter()
        self._random = random.Random(seed)
        self._fault = ""
        self._swallowed: frozenset[Direction] = frozenset()
        self._delay = (0.0, 0.0)
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._open())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and give the port back."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    # --- what clients use -------------------------------------------------------------------

    def through(self, url: str) -> str:
        """The URL of the target, with the proxy's address in place of its own."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}{LOOPBACK}:{self.port}"))

    @property
    def open(self) -> int:
        """How many connections there are now, dead ones among them."""
        return len(self._links)

    # --- what goes wrong --------------------------------------------------------------------

    def latency(self, seconds: float, jitter: float = 0.0) -> None:
        """Deliver everything so much later, and up to `jitter` seconds more; 0 ends it."""
        self._delay = (seconds, jitter)

    def reset(self) -> None:
        """End all connections with RST, and each new one."""
        self._begin("reset")

    def refuse(self) -> None:
        """End all connections with RST; nobody listens any more."""
        self._begin("refuse")

    def black_hole(self, direction: Direction | None = None) -> None:
        """Swallow what is sent, in one direction or in both."""
        self._begin("black_hole", direction)

    def pause(self, direction: Direction | None = None) -> None:
        """Keep what is sent, in one direction or in both, until it heals."""
        self._begin("pause", direction)

    def freeze(self) -> None:
        """The peer vanishes: what is sent to it is not even acknowledged."""
        self._begin("freeze")

    def heal(self) -> None:
        """Nothing is wrong any more, but for latency."""
        self._do(self._heal())

    def cut(self) -> None:
        """End all connections with RST; new ones work."""
        self._do(self._cut())

    # --- on the proxy's thread --------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _begin(self, fault: str, direction: Direction | None = None) -> None:
        self._do(self._break(fault, (direction,) if direction else DIRECTIONS))

    async def _break(self, fault: str, directions: tuple[Direction, ...]) -> None:
        await self._heal()
        self._fault = fault
        if fault == "refuse":
            self._listener.shutdown(socket.SHUT_RDWR)
        if fault in ("reset", "refuse"):
            await self._cut()
        if fault == "freeze":
            _drop_arrivals(self._listener)
            for link in self._links:
                link.vanish()
        if fault == "pause":
            for one in directions:
                self._flowing[one].clear()
        if fault == "black_hole":
            self._swallowed = frozenset(directions)

    async def _heal(self) -> None:
        was, self._fault = self._fault, ""
        self._swallowed = frozenset()
        if was == "refuse":
            self._listener.listen(BACKLOG)
        if was == "freeze":
            _let_arrive(self._listener)
        if was == "black_hole":
            await self._end([one for one in self._links if one.has_lost])
        for event in self._flowing.values():
            event.set()

    async def _cut(self) -> None:
        await self._end(self._links)

    async def _end(self, links: Iterable[_Link]) -> None:
        ended = [link.task for link in links]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _open(self) -> None:
        self._listener = _listener(self.port)
        self._flowing = {one: asyncio.Event() for one in DIRECTIONS}
        self._acceptor = self._loop.create_task(self._accept())
        await self._heal()

    async def _close(self) -> None:
        self._acceptor.cancel()
        await asyncio.gather(self._acceptor, return_exceptions=True)
        await self._cut()
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError:
                # Nobody listens while connections are refused.
                await asyncio.sleep(0.005)
                continue
            self.accepted += 1
            if self._fault == "reset":
                _reset(client)
                continue
            link = _Link(client)
            link.task = self._loop.create_task(self._carry(link))
            self._links.add(link)
            # A task that is ended before its first step closes nothing by itself.
            link.task.add_done_callback(functools.partial(self._forget, link))

    def _forget(self, link: _Link, _done: asyncio.Task[None]) -> None:
        link.close()
        self._links.discard(link)

    async def _carry(self, link: _Link) -> None:
        # A client that is cut off does not reach the server either.
        await self._flowing["to_server"].wait()
        try:
            async with asyncio.timeout(CONNECT):
                await self._loop.sock_connect(link.server, self.target)
            async with asyncio.TaskGroup() as pumps:
                link.pumps = [
                    pumps.create_task(self._pump(link, "to_server", link.client, link.server)),
                    pumps.create_task(self._pump(link, "to_client", link.server, link.client)),
                ]
        except (OSError, TimeoutError, ExceptionGroup):
            return
        if link.has_vanished:
            await asyncio.Event().wait()
        link.has_ended = True

    async def _pump(
        self, link: _Link, direction: Direction, source: socket.socket, sink: socket.socket
    ) -> None:
        while data := await self._loop.sock_recv(source, CHUNK):
            seconds, jitter = self._delay
            if seconds or jitter:
                await asyncio.sleep(seconds + self._random.random() * jitter)
            await self._flowing[direction].wait()
            if direction in self._swallowed:
                link.has_lost = True
                continue
            self.delivered[direction] += len(data)
            await self._loop.sock_sendall(sink, data)
        await self._flowing[direction].wait()
        if direction not in self._swallowed:
            sink.shutdown(socket.SHUT_WR)


class _Link:
    """A client's connection and the one to the server that belongs to it."""

    task: asyncio.Task[None]

    def __init__(self, client: socket.socket) -> None:
        self.client, self.server = client, socket.socket()
        for one in (self.client, self.server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pumps: list[asyncio.Task[None]] = []
        #: both sides have said all that they had to say
        self.has_ended = False
        #: what was sent over it has not all arrived
        self.has_lost = False
        self.has_vanished = False

    def vanish(self) -> None:
        """Neither side hears of the other any more, at any level."""
        self.has_vanished = True
        for one in (self.client, self.server):
            _drop_arrivals(one)
        for pump in self.pumps:
            pump.cancel()

    def close(self) -> None:
        """End both connections, without a farewell if they have not ended by themselves."""
        for one in (self.client, self.server):
            if self.has_ended:
                one.close()
            else:
                _reset(one)


def _address(target: str) -> tuple[str, int]:
    parts = urlsplit(target if "://" in target else f"tcp://{target}")
    assert parts.hostname is not None, target
    assert parts.port is not None, target
    return parts.hostname, parts.port


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Bound by its number, so that the port stays ours while nobody listens.
    listener.bind((LOOPBACK, port))
    listener.listen(BACKLOG)
    return listener


def _reset(one: socket.socket) -> None:
    """Close with RST in place of FIN."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def _drop_arrivals(one: socket.socket) -> None:
    """Have the kernel drop every packet that arrives here: a classic BPF program, `ret 0`."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    option = struct.pack("HL", 1, ctypes.addressof(program))
    one.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, option)


def _let_arrive(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)

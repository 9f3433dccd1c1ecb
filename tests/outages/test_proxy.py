"""The proxy that other tests trust: each fault is what it is said to be."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

#: Seconds within which something is seen not to happen.
NOTHING = 0.3


class Echo:
    """Says what it hears, on any number of connections."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(65_536):
                    one.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as echo:
        yield echo


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(f"127.0.0.1:{echo.port}", seed=1) as proxy:
        yield proxy


Dial = Callable[..., socket.socket]


@pytest.fixture
def dial(proxy: Proxy) -> Iterator[Dial]:
    """Connects through the proxy."""
    with ExitStack() as stack:

        def connect(timeout: float = 10.0) -> socket.socket:
            address = ("127.0.0.1", proxy.port)
            return stack.enter_context(socket.create_connection(address, timeout=timeout))

        yield connect


def ask(one: socket.socket, text: bytes) -> bytes:
    one.sendall(text)
    found = b""
    while len(found) < len(text):
        more = one.recv(65_536)
        assert more, "the connection has ended"
        found += more
    return found


def hears_nothing(one: socket.socket) -> bool:
    one.settimeout(NOTHING)
    try:
        one.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        one.settimeout(10.0)


def test_it_carries_and_counts(proxy: Proxy, dial: Dial) -> None:
    one, other = dial(), dial()
    assert ask(one, b"x" * 200_000) == b"x" * 200_000
    assert ask(other, b"hello") == b"hello"
    assert (proxy.accepted, proxy.open) == (2, 2)
    assert proxy.delivered == {"to_server": 200_005, "to_client": 200_005}
    one.close()
    other.close()
    wait_until(lambda: proxy.open == 0, "ended connections are gone")


def test_an_end_is_passed_on(dial: Dial) -> None:
    one = dial()
    one.sendall(b"last")
    one.shutdown(socket.SHUT_WR)
    assert [one.recv(10), one.recv(10)] == [b"last", b""]


def test_latency_delays_and_ends(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    proxy.latency(0.1, jitter=0.05)
    began = time.monotonic()
    assert ask(one, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.2
    proxy.latency(0)
    assert ask(one, b"fast") == b"fast"


def test_reset_ends_old_and_new_connections(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    assert ask(one, b"a") == b"a"
    proxy.reset()
    with pytest.raises(ConnectionError):
        ask(one, b"b")
    with pytest.raises(ConnectionError):
        ask(dial(), b"b")
    assert proxy.accepted == 2
    proxy.heal()
    assert ask(dial(), b"c") == b"c"


def test_cut_ends_only_old_connections(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        one.recv(1)
    assert ask(dial(), b"b") == b"b"


def test_refused_connections_work_again_on_the_same_port(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    for _ in range(2):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial()
        proxy.heal()
        assert ask(dial(), b"b") == b"b"
    with pytest.raises(ConnectionResetError):
        one.recv(1)


def test_a_black_hole_swallows_and_what_was_in_it_is_reset(proxy: Proxy, dial: Dial) -> None:
    old, idle = dial(), dial()
    ask(old, b"a")
    ask(idle, b"a")
    proxy.black_hole()
    new = dial()
    old.sendall(b"lost")
    new.sendall(b"lost")
    assert hears_nothing(old)
    assert hears_nothing(new)
    proxy.heal()
    for one in (old, new):
        with pytest.raises(ConnectionResetError):
            one.recv(1)
    assert ask(idle, b"b") == b"b"


def test_one_direction_only(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    proxy.black_hole("to_client")
    one.sendall(b"heard")
    wait_until(lambda: proxy.delivered["to_server"] == 6, "it arrives at the server")
    assert hears_nothing(one)
    assert proxy.delivered["to_client"] == 1


def test_a_pause_loses_nothing(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    proxy.pause()
    new = dial()
    one.sendall(b"kept")
    new.sendall(b"kept")
    assert hears_nothing(one)
    assert hears_nothing(new)
    proxy.heal()
    assert [one.recv(10), new.recv(10)] == [b"kept", b"kept"]


def test_a_frozen_peer_acknowledges_nothing(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 200)
    proxy.freeze()
    with pytest.raises(TimeoutError):
        dial(timeout=NOTHING)
    one.sendall(b"lost")
    with pytest.raises(TimeoutError) as caught:
        one.recv(1)
    # Said by the kernel, to which nothing was acknowledged; the socket's own has no number.
    assert caught.value.errno == errno.ETIMEDOUT


def test_what_was_frozen_stays_dead(proxy: Proxy, dial: Dial) -> None:
    one = dial()
    ask(one, b"a")
    proxy.freeze()
    one.sendall(b"lost")
    proxy.heal()
    assert ask(dial(), b"b") == b"b"
    assert hears_nothing(one)
    assert proxy.open == 2


def test_a_target_that_is_gone_resets(proxy: Proxy, echo: Echo, dial: Dial) -> None:
    echo.close()
    with pytest.raises(ConnectionError):
        ask(dial(), b"a")


def test_another_target_from_now_on(proxy: Proxy, echo: Echo, dial: Dial) -> None:
    with closing(Echo()) as other:
        one = dial()
        ask(one, b"a")
        proxy.target = ("127.0.0.1", other.port)
        echo.close()
        proxy.cut()
        assert ask(dial(), b"b") == b"b"


def test_urls_through_it(proxy: Proxy) -> None:
    port = proxy.port
    assert proxy.through("redis://:p%40ss@localhost:6379/1") == (
        f"redis://:p%40ss@127.0.0.1:{port}/1"
    )
    assert proxy.through("postgresql://a:b@h:5432/x?connect_timeout=2") == (
        f"postgresql://a:b@127.0.0.1:{port}/x?connect_timeout=2"
    )

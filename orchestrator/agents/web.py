"""One HTTP request to a server outside, which may go only where settings allow it.

A URL comes from code and from what other servers answer, so it is not trusted: it is resolved
once, each address is checked, and the connection is made to the address that was checked (a second
look at DNS could give another one). Nothing is redirected, no proxy is asked.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from orchestrator.domain.errors import ConfigurationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv6 addresses that stand for an IPv4 address in their last four bytes.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


class NotAllowed(Exception):
    """The URL leads to where no agent of ours may go."""


class NoAnswer(Exception):
    """The server does not answer, or not to the end, or not in time. It may later."""


class TooLong(Exception):
    """The answer has more bytes than are taken."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    #: by name in lower case
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Rule:
    port: int | None
    host: str = ""
    network: Network | None = None

    def covers(self, host: str, address: Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network
        suits = host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host
        # A name is in the hands of whoever runs its DNS: it opens no door to our own network.
        return suits and address.is_global


class AllowList:
    """Where requests may go: hosts, `*.domain`, addresses, networks, with or without `:port`.

    Names lead to public addresses only. Private ones are allowed by address: `10.1.0.0/16`,
    `127.0.0.1:8080`, `[::1]:8080`.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self._rules = [_rule(entry) for entry in entries]

    def check(self, host: str, address: Address, port: int) -> bool:
        """Whether a connection may be made for this host to this address."""
        plain = _plain(address)
        return any(rule.covers(host, plain, port) for rule in self._rules)


def _rule(entry: str) -> _Rule:
    text, port = entry.strip(), None
    head, colon, tail = text.rpartition(":")
    if colon and tail.isdigit() and (":" not in head or head.endswith("]")):
        text, port = head, int(tail)
    text = text.strip("[]") if text.startswith("[") else text
    with suppress(ValueError):
        return _Rule(port, network=ipaddress.ip_network(text))
    host = text.lower().rstrip(".")
    letters = host.removeprefix("*.").replace(".", "").replace("-", "")
    if not (letters.isascii() and letters.isalnum()):
        raise ConfigurationError(
            f"http_agents_allow has {entry!r}, which is no host, *.domain, address or network, "
            'with or without a port, as in "agents.example.com", "10.1.0.0/16" or "[::1]:8080".'
        )
    return _Rule(port, host=host)


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def request(
    allow: AllowList,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float,
    max_bytes: int,
) -> Answer:
    """Ask once, within `timeout` seconds in all. Raises `NotAllowed`, `NoAnswer`, `TooLong`."""
    parts = _parts(url)
    port = parts.port or _PORTS[parts.scheme]
    address = _checked_address(allow, parts.hostname or "", port)
    connection = _connection(parts, port, address, timeout)
    try:
        connection.connect()
        with _alarm(connection.sock, timeout):
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body=body, headers=dict(headers))
            with connection.getresponse() as response:
                return _read(response, max_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{method} {_shown(parts)}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


@contextmanager
def _alarm(sock: socket.socket, seconds: float) -> Iterator[None]:
    """While inside, break off after so long: a socket's own timeout bounds each read only."""
    alarm = threading.Timer(seconds, _break_off, [sock])
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _break_off(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise NotAllowed(f"{url[:200]!r} is no URL: {error}.") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or not is_plain:
        raise NotAllowed(f"{url[:200]!r} is no plain http or https URL.")
    return parts


def _checked_address(allow: AllowList, host: str, port: int) -> str:
    name = host.lower().rstrip(".")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"The host {host!r} cannot be found: {error}.") from None
    addresses = [str(where[0]).partition("%")[0] for *_, where in found]
    for one in addresses:
        if allow.check(name, ipaddress.ip_address(one), port):
            return one
    raise NotAllowed(
        f"{host}:{port} ({', '.join(dict.fromkeys(addresses))}) is not in http_agents_allow. Names "
        "lead to public addresses only; private ones have to be allowed by address."
    )


def _connection(
    parts: SplitResult, port: int, address: str, timeout: float
) -> http.client.HTTPConnection:
    """A connection to the checked address that says the name, for TLS and for virtual hosts."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    else:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def connect(_where: tuple[str, int], patience: float, *_: object) -> socket.socket:
        return socket.create_connection((address, port), patience)

    connection._create_connection = connect  # type: ignore[attr-defined]  # http.client's own hook
    return connection


def _read(response: http.client.HTTPResponse, max_bytes: int) -> Answer:
    body = response.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise TooLong(f"The answer has more than {max_bytes:,} bytes.")
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


def _shown(parts: SplitResult) -> str:
    """A URL as it may stand in a message: what follows the path may be secret."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"

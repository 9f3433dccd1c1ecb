"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LOWEST = 15_000
_DEFAULT_LIMIT = 32_768


def _limit() -> int:
    """The first port that the kernel gives to outgoing connections."""
    try:
        first = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    except OSError:
        return _DEFAULT_LIMIT
    return max(int(first), _LOWEST + 1_000)


def is_free(port: int) -> bool:
    """True when a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still being closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """A port that is free now: `preferred` if it is, else one at random.

    Never one of the range for outgoing connections: while a server there restarts, a client
    that reconnects could be given the server's own port, and even connect to itself.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    limit = _limit()
    while True:
        port = _LOWEST + secrets.randbelow(limit - _LOWEST)
        if is_free(port):
            return port


def accepts(port: int) -> bool:
    """True when somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0

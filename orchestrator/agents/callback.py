"""Where a remote agent says that it is done: an address that is signed, as a secret of the two."""

from __future__ import annotations

import hashlib
import hmac

#: Characters of a signature in an address.
_LENGTH = 32


def address(base: str, secret: str, key: str) -> str:
    """Where to POST the outcome of the work with this key."""
    return f"{base.rstrip('/')}/{key}/{_signature(secret, key)}"


def key_of(path: str, secret: str) -> str | None:
    """The key of the work that an address is for; None where nobody of ours made the address."""
    *_, key, signature = ["", "", *path.partition("?")[0].split("/")]
    expected = _signature(secret, key)
    return key if hmac.compare_digest(signature.encode(), expected.encode()) else None


def key_for(instance_id: str, failures: int) -> str:
    """The key of one try of an instance's work."""
    return f"{instance_id}-{failures}"


def instance_of(key: str) -> str:
    """The instance whose work has this key."""
    return key.rpartition("-")[0]


def signal_of(key: str) -> str:
    """The signal by which the outcome of the work with this key is passed on."""
    return f"callback {key.rpartition('-')[2]}"


def _signature(secret: str, key: str) -> str:
    return hmac.new(secret.encode(), key.encode(), hashlib.sha256).hexdigest()[:_LENGTH]

"""Keys in settings: read without being told to anybody."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from orchestrator.domain.errors import ConfigurationError

#: Bytes of a master key.
LENGTH = 32


def master_keys(given: Sequence[SecretStr], file: Path | None) -> tuple[bytes, ...]:
    """The keys of a setting and then those of a file, which are words of it."""
    texts = [key.get_secret_value() for key in given]
    if file is not None:
        try:
            texts += file.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"ORCHESTRATOR_ENCRYPTION_KEY_FILE cannot be read: {error}."
            ) from None
    return tuple(_key(text, number) for number, text in enumerate(texts, 1))


def _key(text: str, number: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != LENGTH:
        # Without the text: it may be a key that is nearly right.
        raise ConfigurationError(
            f"Key {number} of ORCHESTRATOR_ENCRYPTION_KEY is not {LENGTH} bytes in base64. Make "
            "one with `openssl rand -base64 32`."
        )
    return key

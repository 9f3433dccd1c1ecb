"""Payloads at rest: encrypted with a key for each session, which can be destroyed.

The key of a session is wrapped by that of its tenant, and that by a master key, which is a setting
and never in the database. Whoever destroys a wrapped key makes everything that was encrypted
with it unreadable, in backups too: crypto-shredding.

Payloads: AES-SIV (RFC 5297), which gives the same text for the same value, so that a message that
is sent again is recognised. Keys: AES-256-GCM, bound to whose they are. An encrypted value is the
JSON object `{"$enc": base64, "key": id}`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.ids import new_id
from orchestrator.domain.payload import ERASED
from orchestrator.store.database import Database
from orchestrator.store.envelope import is_sealed
from orchestrator.store.statements import statement

#: Seconds for which a key that was read is used without a look at whether it was destroyed.
TRUST = 10.0
#: Keys that are remembered at most.
MOST_KEYS = 10_000
#: What stands for the session in the row of a tenant's own key.
_OF_TENANT = ""
#: Bytes.
_NONCE = 12


class Vault:
    """The keys of one database, with the master keys that open them: the newest first."""

    def __init__(self, database: Database, masters: Sequence[bytes]) -> None:
        # Its own connections: keys are asked for while a row is read on another one.
        self._database = database
        self._masters = {name_of(master): master for master in masters}
        self._newest = name_of(masters[0])
        self._current: dict[tuple[str, str], tuple[str, float]] = {}
        self._keys: dict[str, tuple[bytes | None, float]] = {}
        self._owners: dict[str, tuple[str, str]] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def learn(self, instance_id: str, tenant: str, session: str) -> None:
        """Whose an instance is, so that it need not be asked for."""
        _bounded(self._owners)[instance_id] = (tenant, session)

    def seal(self, tenant: str, session: str, text: str) -> str:
        """JSON text that only holders of the session's key can read."""
        key_id, key = self._key_for(tenant, session)
        sealed = AESSIV(key).encrypt(text.encode(), [key_id.encode()])
        return json.dumps({"$enc": base64.b64encode(sealed).decode(), "key": key_id})

    def seal_of(self, instance_id: str, text: str) -> str:
        """The same with the key of an instance's session."""
        return self.seal(*self._owner(instance_id), text)

    def seal_error(self, instance_id: str, error: Mapping[str, Any]) -> dict[str, Any]:
        """An error whose words are sealed; its type and its attempts can be told without."""
        sealed = dict(error)
        for name in ("message", "traceback"):
            if name in sealed:
                sealed[name] = json.loads(self.seal_of(instance_id, json.dumps(sealed[name])))
        for name in ("causes", "attempts"):
            if name in sealed:
                sealed[name] = [self.seal_error(instance_id, one) for one in sealed[name]]
        return sealed

    def open(self, value: dict[str, Any]) -> Any:
        """What was sealed; `ERASED` where its key was destroyed; anything else as it is."""
        if not is_sealed(value):
            return value
        key = self._key(value["key"])
        if key is None:
            return ERASED
        try:
            sealed = base64.b64decode(value["$enc"])
            return json.loads(AESSIV(key).decrypt(sealed, [value["key"].encode()]))
        except InvalidTag:
            raise ConfigurationError(
                f"A payload sealed with the key {value['key']} cannot be opened: it was changed."
            ) from None

    def rotate(self) -> int:
        """Wrap the keys of all tenants by the newest master key; answers how many were not."""
        rows = self._database.rows(statement("tenant_keys"), wrapped_by=self._newest)
        for row in rows:
            key = _unwrap(self._master(row["wrapped_by"]), row["wrapped"], row["tenant"])
            wrapped = _wrap(self._masters[self._newest], key, row["tenant"])
            values = {"id": row["id"], "wrapped": wrapped, "wrapped_by": self._newest}
            with self._database.connection() as connection:
                connection.execute(statement("rewrap_key"), values)
        return len(rows)

    def _key_for(self, tenant: str, session: str) -> tuple[str, bytes]:
        """The id and the bytes of the key that a session's payloads are sealed with now."""
        now = time.monotonic()
        found = self._current.get((tenant, session))
        if found is not None and found[1] > now and (key := self._key(found[0])) is not None:
            return found[0], key
        key_id, key = self._current_key(tenant, session)
        _bounded(self._current)[tenant, session] = (key_id, now + TRUST)
        _bounded(self._keys)[key_id] = (key, now + TRUST)
        return key_id, key

    def _current_key(self, tenant: str, session: str) -> tuple[str, bytes]:
        """As the database has it; made there if it has none."""
        while True:
            row = self._database.row(statement("current_key"), tenant=tenant, session=session)
            if row is not None:
                key = self._unwrap_row(row)
                if key is not None:
                    return str(row["id"]), key
            self._add_key(tenant, session)

    def _add_key(self, tenant: str, session: str) -> None:
        """Two that make one at the same time: the first holds."""
        if session == _OF_TENANT:
            by, wrapping, key = self._newest, self._masters[self._newest], os.urandom(32)
        else:
            by, wrapping = self._current_key(tenant, _OF_TENANT)
            key = AESSIV.generate_key(512)
        with self._database.connection() as connection:
            connection.execute(
                statement("add_key"),
                {
                    "id": new_id(tenant),
                    "tenant": tenant,
                    "session": session,
                    "wrapped": _wrap(wrapping, key, tenant + "\0" * bool(session) + session),
                    "wrapped_by": by,
                },
            )

    def _key(self, key_id: str) -> bytes | None:
        """The key of this id; None when it was destroyed."""
        now = time.monotonic()
        found = self._keys.get(key_id)
        if found is None or found[1] <= now:
            row = self._database.row(statement("key"), id=key_id)
            found = (None if row is None else self._unwrap_row(row), now + TRUST)
            _bounded(self._keys)[key_id] = found
        return found[0]

    def _unwrap_row(self, row: Mapping[str, Any]) -> bytes | None:
        if row["wrapped"] is None:
            return None
        tenant, session = row["tenant"], row["session"]
        if session == _OF_TENANT:
            return _unwrap(self._master(row["wrapped_by"]), row["wrapped"], tenant)
        above = self._key(row["wrapped_by"])
        return None if above is None else _unwrap(above, row["wrapped"], f"{tenant}\0{session}")

    def _master(self, name: str) -> bytes:
        if name not in self._masters:
            raise ConfigurationError(
                f"The key of a tenant is wrapped by the master key {name}, which is not among "
                "ORCHESTRATOR_ENCRYPTION_KEY. Add it behind the newest one."
            )
        return self._masters[name]

    def _owner(self, instance_id: str) -> tuple[str, str]:
        if instance_id not in self._owners:
            row = self._database.row(statement("owner"), id=instance_id)
            if row is None:
                # Nothing will be written: there is no such instance.
                return "", instance_id
            self.learn(instance_id, row["tenant"], row["session"])
        return self._owners[instance_id]


class FileSeal:
    """For what a process keeps in a file of its own while the database is away."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        self._masters = {name_of(master): master for master in masters}
        self._newest = name_of(masters[0])

    def close(self, tenant: str, text: str) -> str:
        """The text, encrypted by the newest master key and bound to the tenant."""
        sealed = _wrap(self._masters[self._newest], text.encode(), tenant)
        return f"{self._newest}:{base64.b64encode(sealed).decode()}"

    def open(self, tenant: str, text: str) -> str:
        """The text that was encrypted. Raises `ConfigurationError` without its key."""
        name, _, sealed = text.partition(":")
        if name not in self._masters:
            raise ConfigurationError(
                f"What a worker has kept needs the master key {name}, which is not among "
                "ORCHESTRATOR_ENCRYPTION_KEY."
            )
        return _unwrap(self._masters[name], base64.b64decode(sealed), tenant).decode()


def name_of(master: bytes) -> str:
    """What a master key is called in the database; says nothing of it."""
    return hashlib.sha256(b"name of a master key" + master).hexdigest()[:16]


def _bounded(cache: dict[Any, Any]) -> dict[Any, Any]:
    if len(cache) >= MOST_KEYS:
        cache.clear()
    return cache


def _wrap(key: bytes, secret: bytes, whose: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, secret, whose.encode())


def _unwrap(key: bytes, wrapped: bytes, whose: str) -> bytes:
    try:
        return AESGCM(key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], whose.encode())
    except InvalidTag:
        raise ConfigurationError(
            f"The key of {whose!r} cannot be unwrapped: it was changed."
        ) from None

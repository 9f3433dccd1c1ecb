"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import time
import uuid
import zlib

from orchestrator.domain.errors import InvalidRequest

#: How many partitions tenants fall into; a gate can have as many shards and not more.
PARTITIONS = 256


def new_id(tenant: str = "default") -> str:
    """A UUID of version 7 (RFC 9562, section 5.7) in its 36-character text form.

    48 bits of Unix milliseconds lead, so rows made one after another lie beside each
    other in an index; 66 random bits make two ids of one millisecond distinct. The last
    8 bits are the partition of the tenant, so an id alone tells which shard of the gate
    knows it.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80
    value |= 0x7000 << 64 | (random >> 68) << 64
    value |= 0b10 << 62 | random & 0x3FFFFFFFFFFFFF00 | partition_of(tenant)
    return str(uuid.UUID(int=value))


def partition_of(tenant: str) -> int:
    """The partition of a tenant, the same in every process and for ever."""
    return zlib.crc32(tenant.encode()) % PARTITIONS


def partition_of_id(instance_id: str) -> int:
    """The partition of the tenant that an id was made for."""
    return int(instance_id[-2:], 16)


def is_id(text: str) -> bool:
    """Whether a text could be the id of an instance."""
    try:
        return bool(parse_id(text))
    except InvalidRequest:
        return False


def parse_id(text: str) -> str:
    """The canonical form of an instance id, or `InvalidRequest` for anything else."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise InvalidRequest(
            "INVALID_ID",
            f"{text!r} is not an instance id. Use the 36-character id that a spawn returned.",
        ) from None

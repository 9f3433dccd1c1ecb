"""Puts the simulator's time, threads and chance where the engine's modules have Python's own.

Every loaded module of the engine that names one of them is given the simulator's, so that one
which is added later cannot be forgotten. What is not replaced is left to the servers: they are
real.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

from orchestrator.engine import heartbeat
from tests.simulation.clock import Clock, Times, datetimes
from tests.simulation.events import Threading
from tests.simulation.scheduler import Scheduler
from workers.runtimes import python

#: Seconds between two looks of a heart at its clock.
TICK = 1.0
_PACKAGES = tuple(
    f"orchestrator.{name}." for name in ("admission", "agents", "domain", "engine", "store")
)


class _Chance:
    """Names and tokens that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(f"{seed}:names")

    def urandom(self, size: int) -> bytes:
        return self.draw.randbytes(size)

    def token_hex(self, size: int) -> str:
        return self.draw.randbytes(size).hex()

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.draw.randbytes(16), version=4)


class _Module:
    """A module of which some names are others."""

    def __init__(self, real: object, **others: object) -> None:
        self._real = real
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextmanager
def installed(scheduler: Scheduler, clock: Clock, seed: int) -> Iterator[None]:
    """While inside, the engine lives in the simulator."""
    chance = _Chance(seed)
    real: dict[int, object] = {
        id(time): Times(clock, scheduler.sleep),
        id(threading): Threading(scheduler),
        id(datetime): datetimes(clock),
        id(random): _Module(random, uniform=chance.draw.uniform, random=chance.draw.random),
        id(secrets): _Module(secrets, token_hex=chance.token_hex),
        id(uuid): _Module(uuid, uuid4=chance.uuid4),
        id(os): _Module(os, urandom=chance.urandom),
    }
    names = ("time", "threading", "datetime", "random", "secrets", "uuid", "os")
    with ExitStack() as stack:
        for module in _modules():
            for name in names:
                there = module.__dict__.get(name)
                if id(there) in real:
                    stack.enter_context(mock.patch.object(module, name, real[id(there)]))
        # Looks at clocks in which nothing happens are most of what actors do.
        stack.enter_context(mock.patch.object(heartbeat, "TICK", TICK))
        _patch_interrupts(stack, scheduler)
        yield


def _modules() -> list[Any]:
    return [module for name, module in sys.modules.items() if name.startswith(_PACKAGES)]


def _patch_interrupts(stack: ExitStack, scheduler: Scheduler) -> None:
    """Code is broken into at its next point: between two of them it holds the baton."""

    def raise_in(thread: int) -> None:
        actor = scheduler.acting(thread)
        if actor is not None:
            actor.interrupt = python._Interrupt

    def absorb(_run: object) -> None:
        scheduler.current.interrupt = None

    stack.enter_context(mock.patch.object(python, "_raise_in", raise_in))
    stack.enter_context(mock.patch.object(python, "_absorb_interrupt", absorb))

"""Reads what spawners and agents wrote, and judges what is there while everything breaks."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from orchestrator.admission.keys import key
from tests.chaos.house import GATE, House
from tests.chaos.settings import LIMITS
from tests.rules.evidence import Accepted, Effect, Evidence, Refused, collect, read_ledger
from tests.rules.judge import Verdict, judge

#: Seconds between two looks, and between two looks whether the gate is closed.
EVERY, GLANCE = 4.0, 0.05


def effects(folder: Path) -> list[Effect]:
    """What all agents did, in order of time."""
    found = [one for path in folder.glob("effects-*") for one in read_ledger(path)]
    return sorted(found, key=lambda one: one.at)


def told(folder: Path) -> tuple[list[Accepted], list[Refused]]:
    """What all spawners were told."""
    accepted, refused = [], []
    for path in folder.glob("told-*"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            fields = json.loads(line)
            if fields.pop("is") == "accepted":
                accepted.append(Accepted(**fields))
            else:
                refused.append(Refused(**fields))
    return accepted, refused


def gather(house: House, *, at_rest: bool) -> Evidence:
    """All there is in the end; of what is under way what must hold at any moment."""
    done = effects(house.ledger)
    accepted, refused = told(house.ledger) if at_rest else ([], [])
    with redis.Redis.from_url(
        house.servers.redis_url, decode_responses=True, socket_timeout=5
    ) as client:
        return collect(
            house.servers.database_url,
            client,
            GATE,
            sessions=None if at_rest else [],
            effects=done,
            accepted=accepted,
            refused=refused,
            limits=LIMITS,
            at_rest=at_rest,
        )


class Witness:
    """Looks every few seconds, whatever happens."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._watch, self._peep)
        ]
        self._lock = threading.Lock()
        #: looks that were taken, those at which a server was away, those at a closed gate
        self.looks = self.blind = self.closed = 0
        self.verdict = Verdict({}, [])
        #: what the first breach was seen in
        self.evidence: Evidence | None = None

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        for thread in self._threads:
            thread.join(60)

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            self._look()

    def _peep(self) -> None:
        """Look also whenever the gate is closed: that does not last long."""
        with redis.Redis.from_url(self._house.servers.redis_url, socket_timeout=5) as client:
            while not self._closed.wait(GLANCE):
                with suppress(redis.RedisError):
                    if not client.exists(key(GATE, "generation")):
                        self._look()

    def _look(self) -> None:
        try:
            evidence = gather(self._house, at_rest=False)
        except (redis.RedisError, psycopg.Error):
            with self._lock:
                self.blind += 1
            return
        verdict = judge(evidence)
        with self._lock:
            self.looks += 1
            self.closed += not evidence.gate.is_open
            if verdict.violations and self.evidence is None:
                self.evidence = evidence
            self.verdict += verdict

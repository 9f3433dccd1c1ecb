"""Reads what spawners and agents wrote, and judges what is there while everything breaks."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg
import redis

from tests.chaos.house import GATE, House
from tests.chaos.settings import LIMITS
from tests.rules.evidence import Accepted, Effect, Evidence, Refused, collect, read_ledger
from tests.rules.judge import Verdict, judge

#: Seconds between two looks.
EVERY = 4.0


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
        self._thread = threading.Thread(target=self._watch, daemon=True)
        #: looks that were taken, and those at which a server was away
        self.looks = self.blind = 0
        self.verdict = Verdict({}, [])
        #: what the first breach was seen in
        self.evidence: Evidence | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join(60)

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            try:
                evidence = gather(self._house, at_rest=False)
            except (redis.RedisError, psycopg.Error):
                self.blind += 1
                continue
            self.looks += 1
            verdict = judge(evidence)
            if verdict.violations and self.evidence is None:
                self.evidence = evidence
            self.verdict += verdict

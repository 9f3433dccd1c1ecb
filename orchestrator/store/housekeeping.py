"""What PostgreSQL remembers of the jobs of housekeeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from orchestrator.store.database import Database
from orchestrator.store.statements import statement


@dataclass(frozen=True)
class JobStanding:
    """A job, and its last round."""

    job: str
    #: seconds between its rounds
    period: float
    #: seconds since the last round was over; where there was none yet, since the first process
    #: that does it was started
    age: float
    #: the process that did the last round
    process: str
    rounds: int
    #: what the last round did, and what all have done
    counts: Mapping[str, int]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class PastRound:
    """A round that did something."""

    job: str
    process: str
    ended_at: datetime
    #: how long it took
    seconds: float
    counts: Mapping[str, int]


class HousekeepingTable:
    """The tables `housekeeping` and `housekeeping_rounds`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def expect(self, jobs: Mapping[str, float], process: str) -> None:
        """A process that does these jobs, each in its period of seconds, has been started."""
        with self._database.transaction() as connection:
            for job, period in sorted(jobs.items()):
                values = {"job": job, "period": period, "process": process}
                connection.execute(statement("expect_job"), values)

    def record(
        self, job: str, period: float, process: str, seconds: float, counts: Mapping[str, int]
    ) -> None:
        """A round is over; `counts` holds what is not zero."""
        with self._database.connection() as connection:
            values = {
                "job": job,
                "period": period,
                "process": process,
                "seconds": seconds,
                "counts": Jsonb(dict(counts)),
            }
            connection.execute(statement("record_round"), values)

    def jobs(self) -> list[JobStanding]:
        """All jobs that were ever expected, by name."""
        return [
            JobStanding(
                row["job"],
                row["period"],
                row["age"],
                row["process"],
                row["rounds"],
                row["counts"],
                row["totals"],
            )
            for row in self._database.rows(statement("jobs"))
        ]

    def rounds(self, job: str | None = None, limit: int = 100) -> list[PastRound]:
        """The newest rounds that did anything, newest first."""
        rows = self._database.rows(statement("rounds"), job=job, limit=limit)
        return [
            PastRound(row["job"], row["process"], row["ended_at"], row["seconds"], row["counts"])
            for row in rows
        ]

    def remove(self, age: float, limit: int) -> int:
        """Remove up to so many rounds that are older than so many seconds; answers how many."""
        row = self._database.row(statement("remove_rounds"), age=age, limit=limit)
        assert row is not None
        return int(row["removed"])

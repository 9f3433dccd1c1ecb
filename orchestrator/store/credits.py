"""What the shards of the gate have lent each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.store.database import Connection, Database
from orchestrator.store.statements import statement


class CreditTable:
    """The table `credits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def alone(self) -> Iterator[Ledger]:
        """While inside, nobody else moves credits; what was moved is kept at the end."""
        with self._database.transaction() as connection:
            row = connection.execute(statement("alone_with_credits")).fetchone()
            assert row is not None
            yield Ledger(connection, int(row["version"]))


class Ledger:
    """The credits as they are now, for the only one who may change them."""

    def __init__(self, connection: Connection, version: int) -> None:
        self._connection = connection
        #: higher than that of everybody before
        self.version = version

    def of_shards(self) -> defaultdict[int, dict[str, int]]:
        """By shard: limit -> what it has borrowed, or lent (below zero)."""
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for row in self._connection.execute(statement("credits")):
            found[row["shard"]][row["field"]] = row["amount"]
        return found

    def move(self, field: str, lender: int, borrower: int, amount: int) -> None:
        """So much of a limit has gone from one shard to another."""
        for shard, change in ((lender, -amount), (borrower, amount)):
            values = {"field": field, "shard": shard, "amount": change}
            self._connection.execute(statement("add_credit"), values)

"""Mistakes in engine, SQL and scripts, each of which some schedule must show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from orchestrator.engine import execute, rebuild, reconcile, spawn, sweep
from orchestrator.engine.deps import Deps
from orchestrator.engine.patience import insist
from orchestrator.engine.running import Run
from orchestrator.store.journal import JournalTable, Suspension
from orchestrator.store.statements import statements
from orchestrator.store.store import Ending
from tests.simulation.floors import SimulatedLibrary
from tests.simulation.ground import Ground

Applied = Callable[[Ground], AbstractContextManager[object]]


@dataclass(frozen=True)
class Mutant:
    """A mistake, and how to make it."""

    name: str
    applied: Applied


class _Mutated(SimulatedLibrary):
    """The scripts with one mistake."""

    def __init__(self, file: str, old: str, new: str) -> None:
        self._file, self._old, self._new = file, old, new
        super().__init__()

    def _page(self, name: str) -> str:
        text = super()._page(name)
        return replaced(text, self._old, self._new) if name == self._file else text


def replaced(text: str, old: str, new: str) -> str:
    """The text with its only `old` replaced."""
    if text.count(old) != 1:
        raise ValueError(f"{old!r} stands there {text.count(old)} times")
    return text.replace(old, new)


def lua(file: str, old: str, new: str = "") -> Applied:
    """In a script."""

    @contextmanager
    def applied(ground: Ground) -> Iterator[None]:
        before = ground.gate._scripts
        ground.gate._scripts = {script.name: script for script in _Mutated(file, old, new)}
        ground.shard._scripts.clear()
        yield
        ground.gate._scripts = before
        ground.shard._scripts.clear()

    return applied


def sql(name: str, old: str, new: str = "") -> Applied:
    """In a statement."""
    return lambda _ground: mock.patch.dict(
        statements(), {name: replaced(statements()[name], old, new)}
    )


def function(name: str, old: str, new: str = "") -> Applied:
    """In a function of the database."""

    @contextmanager
    def applied(ground: Ground) -> Iterator[None]:
        [row] = ground.rows(f"SELECT pg_get_functiondef('{name}'::regproc) AS text")
        connection = ground.database.at_its_time()
        connection.execute(replaced(row["text"], old, new).encode())
        yield
        connection.execute(row["text"].encode())

    return applied


def python(where: object, name: str, instead: Callable[..., Any]) -> Applied:
    """In the engine."""
    return lambda _ground: mock.patch.object(where, name, instead)


def _nothing(*_args: object, **_fields: object) -> None:
    """Do not do it."""


def _release_first(deps: Deps, run: Run, ending: Ending) -> None:
    insist(lambda: deps.gate.release(run.id, run.attempt))
    insist(lambda: deps.store.settle(run.id, run.attempt, ending))


def _settle_only(deps: Deps, run: Run, ending: Ending) -> None:
    insist(lambda: deps.store.settle(run.id, run.attempt, ending))


def _follow_first(deps: Deps, new: Any, record: Callable[[], bool]) -> bool:
    deps.gate.follow(new)
    return record()


def _release_anyway(deps: Deps, instance_id: str, attempt: int) -> None:
    deps.gate.release(instance_id, attempt, ended=False)


_suspend = JournalTable.suspend


def _unlooked(self: JournalTable, *args: Any) -> Suspension | None:
    done = _suspend(self, *args)
    return None if done is None else Suspension(False, [])


_CASCADE = "SELECT cancel_instances(%(ids)s::uuid[], %(reason)s, %(below)s) AS ended"
_TOPS_ONLY = """
WITH tops AS (
    UPDATE instances SET state = 'cancelled', reason = %(reason)s, ended_at = now()
    WHERE id = ANY(%(ids)s::uuid[]) AND ended_at IS NULL
    RETURNING id
)
SELECT coalesce(array_agg(id), '{}') AS ended FROM tops
"""


@contextmanager
def _untold_ends(ground: Ground) -> Iterator[None]:
    with (
        mock.patch.object(reconcile, "_forget_ended", return_value=0),
        mock.patch.object(ground.gate, "cancel", _nothing),
    ):
        yield


MUTANTS = [
    Mutant(
        "a duplicate delivery begins too",
        function(
            "begin_instance",
            "the_attempt AND paused_at IS NULL\n    RETURNING",
            "the_attempt + 1 AND paused_at IS NULL\n    RETURNING",
        ),
    ),
    Mutant(
        "a result is written by whoever comes",
        function(
            "settle_instance", "state = 'running' AND attempt = the_attempt", "ended_at IS NULL"
        ),
    ),
    Mutant(
        "an attempt is handed back by whoever comes",
        sql("hand_back", " AND attempt = %(attempt)s", " AND attempt >= %(attempt)s - 100"),
    ),
    Mutant(
        "the journal is written by whoever comes",
        sql("write_steps", "AND state = 'running' AND attempt = %(attempt)s"),
    ),
    Mutant(
        "a child is recorded below a parent that has ended",
        sql("record_child", "AND state = 'running' AND attempt = %(parent_attempt)s"),
    ),
    Mutant(
        "a repeated spawn is another one",
        sql("record_root", "%(retry)s, %(idempotency_key)s, %(args)s", "%(retry)s, NULL, %(args)s"),
    ),
    Mutant(
        "an end takes nobody along",
        function("settle_instance", "RETURN ARRAY(SELECT end_below(ARRAY[the_id]))", "RETURN '{}'"),
    ),
    Mutant(
        "a cancellation stops at the first level",
        sql("cancel", _CASCADE, _TOPS_ONLY),
    ),
    Mutant(
        "a lost message keeps its attempt",
        sql("expire", "attempt = greatest(attempt, %(attempt)s)", "attempt = attempt"),
    ),
    Mutant(
        "an expired lease leaves the row as it was",
        sql("expire", "ELSE 'queued' END", "ELSE state END"),
    ),
    Mutant("a slot is kept by who has ended", lua("release", "    give_back(id, entry)\n")),
    Mutant(
        "nobody is woken by an end",
        lua("lib/ends", "    redis.call('ZADD', key.ended, 'NX', now, id)\n"),
    ),
    Mutant(
        "ends before the sleep are not seen",
        lua("suspend", "for _, target in ipairs(ended) do lose_edge(id, target) end\n"),
    ),
    Mutant(
        "a suspension does not look whether its wait is over",
        python(JournalTable, "suspend", _unlooked),
    ),
    Mutant(
        "leases are not renewed",
        lua(
            "heartbeat",
            "redis.call('ZADD', key[set], 'XX', now + config.lease_ms, id)",
            "local _ = set",
        ),
    ),
    Mutant(
        "an old attempt is put back in line",
        lua("requeue", "entry.attempt > tonumber(attempt) or entry.stop ~= ''", "entry.stop ~= ''"),
    ),
    Mutant(
        "what goes back in line gets no new attempt",
        lua(
            "lib/hand_out",
            "entry.attempt = entry.attempt + 1",
            "entry.attempt = math.max(1, entry.attempt)",
        ),
    ),
    Mutant(
        "timers are lost with Redis",
        lua("lib/sleep", "    set_time(key.timers, id, left)\n", "    local _ = left\n"),
    ),
    Mutant(
        "anybody opens a gate that is being filled",
        lua("finish_rebuild", "if redis.call('GET', key.rebuilding) ~= token then return 0 end\n"),
    ),
    Mutant("a gate is opened without what lives", python(rebuild, "adopt", _nothing)),
    Mutant(
        "the slot is free before the result is written", python(execute, "_settle", _release_first)
    ),
    Mutant("an end frees no slot", python(execute, "_settle", _settle_only)),
    Mutant("a spawn is followed before it is recorded", python(spawn, "_record", _follow_first)),
    Mutant("a spawn is not followed", python(spawn, "_follow", _nothing)),
    Mutant(
        "who is turned away frees the slot of who runs",
        python(execute, "_turn_away", _release_anyway),
    ),
    Mutant(
        "what has run out is not judged",
        lambda _ground: mock.patch.object(sweep, "BUDGET", 0),
    ),
    Mutant("the gate knows of no cancellation, and nobody compares", _untold_ends),
]

"""Is the suite able to see anything? `python -m tests.chaos.sabotage [name...]`.

Each is one mistake in a copy of the product, of a sort that systems like this one have had.
The suite must find it, by the rule that it breaks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devstack import scratch_folder
from tests.support.processes import ROOT

#: What is copied; and how each is run.
PARTS = ("orchestrator", "workers", "migrations", "tests", "pyproject.toml")
RUN = ("-m", "tests.chaos", "--minutes", "1", "--peace", "45", "--seed")


@dataclass(frozen=True)
class Change:
    """Some text of a file that stands there once, and what replaces it."""

    file: str
    before: str
    after: str


SABOTAGES: dict[str, tuple[Change, ...]] = {
    "a cancellation forgets grandchildren": (
        Change(
            "migrations/versions/0005_control.py",
            "              AND (NOT detached OR why = 'BUDGET_EXCEEDED')\n",
            "              AND depth <= 1 AND (NOT detached OR why = 'BUDGET_EXCEEDED')\n",
        ),
    ),
    "nobody is woken": (
        Change(
            "orchestrator/admission/lua/lib/ends.lua",
            "for _, id in ipairs(ids) do lose_edge(id, target) end",
            "for _, id in ipairs(ids) do redis.call('ZREM', key.waiters .. target, id) end",
        ),
        Change("orchestrator/engine/adopt.py", "    if ready:\n", "    if ready and False:\n"),
    ),
    "what has run out is never judged": (
        Change(
            "orchestrator/engine/sweep.py",
            "in sweep.expired:\n",
            "in sweep.expired[:0]:\n",
        ),
    ),
    "a slot stays behind": (
        Change(
            "orchestrator/admission/lua/lib/slots.lua",
            "  redis.call('SREM', key.slots_tenant .. entry.tenant, id)\n",
            "",
        ),
    ),
    "one too many": (
        Change(
            "orchestrator/admission/lua/lib/room.lua",
            "limit_of('session', tree)\n  return used < limit",
            "limit_of('session', tree)\n  return used <= limit",
        ),
    ),
    "a spawn is accepted that nobody has recorded": (
        Change(
            "orchestrator/engine/spawn.py",
            "    except BaseException:\n        _give_back(deps, [new])\n        raise\n",
            "    except BaseException:\n        _give_back(deps, [new])\n        return True\n",
        ),
    ),
    "a change without an event": (
        Change(
            "migrations/versions/0001_instances.py",
            "    IF OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt THEN\n",
            "    IF NEW.state <> 'waiting' AND OLD.state <> NEW.state THEN\n",
        ),
    ),
    "steps are done again": (
        Change(
            "orchestrator/store/sql/journal.sql",
            "FROM steps WHERE instance_id = %(id)s\nUNION ALL",
            "FROM steps WHERE instance_id = %(id)s AND name <> 'open'\nUNION ALL",
        ),
    ),
    "an emptied gate stays empty": (
        Change(
            "orchestrator/engine/rebuild.py",
            "        adopt(deps, mine)\n",
            "",
        ),
        Change("orchestrator/engine/reconcile.py", "    adopt(deps, live)\n", ""),
    ),
}


def sabotage(folder: Path, changes: tuple[Change, ...]) -> None:
    """Put a copy of the product with these mistakes there."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    for change in changes:
        path = folder / change.file
        text = path.read_text()
        assert text.count(change.before) == 1, f"{change.file} has changed: {change.before!r}"
        path.write_text(text.replace(change.before, change.after))


def broken_rules(folder: Path, seed: int) -> dict[str, int]:
    """The rules that the suite finds broken there, each with how often."""
    done = subprocess.run(
        [sys.executable, *RUN, str(seed)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    table = re.findall(r"^\| (R\d+) \|.*\| ([\d,]+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    if not table:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    sys.stdout.write("".join(re.findall(r"^R\d+ .*\n", done.stdout, re.MULTILINE)[:5]))
    return {rule: int(count) for rule, _, count in table if int(count)}


def main(names: list[str]) -> int:
    """Try all of them, or those that are named; answers how many were not found."""
    missed = 0
    for seed, name in enumerate(names or SABOTAGES):
        with scratch_folder() as folder:
            sabotage(folder, SABOTAGES[name])
            found = broken_rules(folder, seed)
        missed += not found
        told = ", ".join(f"{rule} {count} times" for rule, count in found.items())
        sys.stdout.write(f"{name}: {told or 'NOT FOUND'}\n")
        sys.stdout.flush()
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Is the model test any good? Seeded mistakes in the scripts, each of which it must find.

    python -m tests.gate.mutants [FILE...]      e.g. release lib/park; all when none is named

Prints what became of each mutant and exits with 1 when one survived. Each mistake is made in
the source in memory; nothing on disk changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from hypothesis import settings

from orchestrator.admission.scripts import Library
from orchestrator.devstack import EmbeddedServers, scratch_folder
from tests.gate import (
    breaker_machine,
    budget_machine,
    call_machine,
    graph_machine,
    limits_machine,
    machine,
    wait_machine,
)
from tests.gate.test_gate_model import SETTINGS
from tests.gate.traced import TracedGate, probed_library

_PROCESSES = 2

Check = Callable[[TracedGate, settings], None]
#: Files whose mistakes show in another test than that of the gate's model.
CHECKS: dict[str, Check] = {
    "apply_limits": limits_machine.check,
    "configure": limits_machine.check,
    "note_woken": limits_machine.check,
}
CHECKS |= dict.fromkeys(
    [
        *("acquire", "give_up", "observe", "renew_calls", "settle_call", "force_breaker"),
        *("lib/bucket", "lib/call", "lib/resource", "lib/turn"),
    ],
    call_machine.check,
)
CHECKS |= dict.fromkeys(["lib/breaker", "lib/judge"], breaker_machine.check)
CHECKS |= dict.fromkeys(
    [
        *("begin_wait", "end_wait", "answer", "block", "recheck", "finish_rebuild"),
        *("take_lock", "free_lock", "hold_lock"),
        *("lib/locks", "lib/victim", "lib/waits"),
    ],
    wait_machine.check,
)


def _check_graph(gate: TracedGate, how: settings) -> None:
    graph_machine.check(gate, settings(how, max_examples=300))
    wait_machine.check(gate, how)


def _check_waits(gate: TracedGate, how: settings) -> None:
    wait_machine.check(gate, how)
    machine.check(gate, how)


CHECKS |= dict.fromkeys(
    [
        *("suspend", "wake", "tell_ended", "hold", "adopt", "release"),
        *("lib/rouse", "lib/ends", "lib/sleep", "lib/timers"),
    ],
    _check_waits,
)
CHECKS |= dict.fromkeys(["lib/graph", "lib/stuck"], _check_graph)
CHECKS |= dict.fromkeys(
    [
        *("due_budgets", "end_budget", "load_budget"),
        *("lib/account", "lib/shortage", "lib/budget", "lib/budget_leave", "lib/budget_call"),
    ],
    budget_machine.check,
)


@dataclass(frozen=True)
class Mutation:
    """A mistake: in `file` (below `lua/`, without its ending) `old` has become `new`."""

    file: str
    old: str
    new: str

    def apply(self, file: str, text: str) -> str:
        """The text of a file, with the mistake if it is the one."""
        if file != self.file:
            return text
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times {self.old!r}")
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.file}: {_in_short(self.old)} -> {_in_short(self.new) or '(nothing)'}"


class MutatedLibrary(Library):
    """The scripts with one mistake."""

    def __init__(self, mutation: Mutation, message: str, clock: str | None = None) -> None:
        super().__init__(message, clock)
        self._mutation = mutation

    def _page(self, name: str) -> str:
        return self._mutation.apply(name, super()._page(name))


@dataclass(frozen=True)
class Trial:
    """What became of a mutant."""

    mutation: Mutation
    #: the first line of what the model test found; empty when it found nothing
    found: str
    seconds: float


def read() -> Iterator[Mutation]:
    """The mistakes of `mutations.txt`."""
    file = ""
    text = Path(__file__).with_name("mutations.txt").read_text()
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("# "):
            file = line.removeprefix("# ")
            continue
        old, new = (part.strip().replace(r"\n", "\n") for part in line.split("=>"))
        yield Mutation(file, old, new)


def attempt(mutations: Iterable[Mutation]) -> Iterator[Trial]:
    """Let the model test loose on each, on a server of this process's own."""
    with (
        scratch_folder() as folder,
        EmbeddedServers(folder, durable=False, database=False) as servers,
    ):
        for mutation in mutations:
            yield _attempt_one(servers.redis_url, mutation)


def _attempt_one(url: str, mutation: Mutation) -> Trial:
    started = time.monotonic()
    library = probed_library(partial(MutatedLibrary, mutation))
    with closing(TracedGate(url, library)) as gate:
        found = _find_fault(gate, CHECKS.get(mutation.file, machine.check))
    return Trial(mutation, found, time.monotonic() - started)


def _find_fault(gate: TracedGate, check: Check) -> str:
    try:
        check(gate, settings(SETTINGS, report_multiple_bugs=False))
    except Exception as error:
        # Whatever goes wrong in the examples is the fault showing itself.
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _attempt_all(mutations: Sequence[Mutation]) -> list[Trial]:
    return list(attempt(mutations))


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  # a program that prints


def main(wanted: Sequence[str]) -> int:
    """Try all mutants of these files; answers the number of survivors."""
    mutations = [one for one in read() if not wanted or one.file in wanted]
    shares = [mutations[start::_PROCESSES] for start in range(_PROCESSES)]
    # Fresh processes, so that each has a supervisor of servers of its own.
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        trials = [trial for share in pool.map(_attempt_all, shares) for trial in share]
    for trial in sorted(trials, key=lambda trial: str(trial.mutation)):
        fate = "killed  " if trial.found else "SURVIVED"
        report(f"{fate} {trial.seconds:5.1f} s  {trial.mutation}\n{'':18}{trial.found[:100]}")
    survivors = [trial for trial in trials if not trial.found]
    report(f"{len(trials) - len(survivors)} of {len(trials)} mutants killed")
    return len(survivors)


def _in_short(lua: str) -> str:
    return " ".join(lua.split())


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))

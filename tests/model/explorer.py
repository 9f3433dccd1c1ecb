"""Visits every state of the model, and says how it came to one that is wrong.

Breadth first, so the first way to a mistake is a shortest one. Then it looks whether all ways end:
steps that are bound to come must not go round in a circle, so that once faults stop, every order of
what is left comes to rest; and at rest everything has ended.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tests.model import rules
from tests.model.faults import Model
from tests.model.state import NAMES, State, plain

#: No attempt of a model with few faults comes to this.
MOST_ATTEMPTS = 12


@dataclass
class Found:
    """What a search has found."""

    states: int = 0
    steps: int = 0
    #: how many states had nothing left to be done
    at_rest: int = 0
    depth: int = 0
    #: how often each action was possible
    actions: Counter[str] = field(default_factory=Counter)
    violation: str = ""
    #: the way to it
    trace: list[str] = field(default_factory=list)


class Explorer:
    """One search."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._came_from: list[tuple[int, tuple[Any, ...]]] = []
        self._bound: list[list[int]] = []
        self.found = Found()

    def run(self) -> Found:
        """Search all; stops at the first violation."""
        self._number(self.model.first, -1, ("Init",))
        at = 0
        while at < len(self._states) and not self.found.violation:
            self._visit(at)
            at += 1
        self.found.states = len(self._states)
        if not self.found.violation:
            self._look_for_circles()
        return self.found

    def _visit(self, at: int) -> None:
        state, model = self._states[at], self.model
        own = model.own(state)
        bound = own + model.repairs(state)
        self._bound.append([self._follow(at, state, label, after) for label, after in bound])
        for label, after in model.others(state):
            self._follow(at, state, label, after)
        wrong = rules.wrong_in(state)
        if not bound:
            self.found.at_rest += 1
            wrong = chain(wrong, rules.wrong_at_rest(state))
        elif not own:
            wrong = chain(wrong, rules.wrong_without_repairs(state))
        self._report(wrong, at)

    def _follow(self, at: int, before: State, label: tuple[Any, ...], after: State) -> int:
        number = self._number(after, at, label)
        self.found.steps += 1
        self.found.actions[label[0]] += 1
        self._report(rules.wrong_over(before, label, after), number)
        return number

    def _number(self, state: State, came_from: int, label: tuple[Any, ...]) -> int:
        state = plain(state)
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
            self._came_from.append((came_from, label))
            assert max(state.row_attempt + state.gate.attempt) < MOST_ATTEMPTS, "it has no end"
        return number

    def _report(self, wrong: Iterable[str], at: int) -> None:
        for what in wrong:
            if not self.found.violation:
                self.found.violation, self.found.trace = what, self._trace(at)

    def _trace(self, at: int) -> list[str]:
        lines: list[str] = []
        while at >= 0:
            before, label = self._came_from[at]
            lines.append(told(label, self._states[at]))
            at = before
        return lines[::-1]

    def _look_for_circles(self) -> None:
        """Depth first over the steps that are bound to come; the longest way is the depth."""
        length = [-1] * len(self._states)
        on_the_way = bytearray(len(self._states))
        for start in range(len(self._states)):
            stack = [start] if length[start] < 0 else []
            while stack and not self.found.violation:
                at = stack[-1]
                later = [one for one in self._bound[at] if length[one] < 0]
                if on_the_way[at] or not later:
                    stack.pop()
                    on_the_way[at] = 0
                    length[at] = 1 + max((length[one] for one in self._bound[at]), default=-1)
                    continue
                on_the_way[at] = 1
                if any(on_the_way[one] for one in later):
                    self._report(["R1: this may go round for ever"], at)
                stack.extend(later)
        self.found.depth = max(length)


def told(label: tuple[Any, ...], state: State) -> str:
    """A step and what it came to, on one line."""
    words = [NAMES[one] if one in (0, 1) and at == 1 else str(one) for at, one in enumerate(label)]
    rows = ", ".join(
        f"{name} {row}/{attempt}"
        for name, row, attempt in zip(NAMES, state.row, state.row_attempt, strict=True)
        if row != "none"
    )
    gate = state.gate
    places = ", ".join(
        f"{name} {place}/{attempt}"
        for name, place, attempt in zip(NAMES, gate.place, gate.attempt, strict=True)
        if place != "none"
    )
    working = ", ".join(
        f"{NAMES[w.instance]}/{w.attempt} {w.at}" for w in state.worker if w.at != "idle"
    )
    known = places if gate.open else f"closed {places}"
    head = f"{' '.join(words):<30}"
    return f"{head} rows: {rows or '-'}; gate: {known or '-'}; workers: {working or '-'}"


def main() -> None:
    """`python -m tests.model.explorer FAULTS [MISTAKE]`: search, and print what was found."""
    faults = int(sys.argv[1])
    found = Explorer(Model(faults, *sys.argv[2:])).run()
    out = [
        f"{found.states} states, {found.steps} steps, {found.at_rest} at rest, depth {found.depth}"
    ]
    out += [f"  {name:<16} {count:>9}" for name, count in sorted(found.actions.items())]
    out += [found.violation or "nothing is wrong", *found.trace]
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()

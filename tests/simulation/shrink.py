"""Makes a failing schedule small: what is not needed for the failure is left out of it."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.chooser import Decisions

#: Whether a schedule with these decisions still fails in the same way.
Fails = Callable[[Decisions], bool]


def shrink(decisions: Decisions, fails: Fails, most: int = 400) -> Decisions:
    """Fewer decisions with which it still fails; tries at most so many schedules.

    Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): `ddmin`
    without the step to subsets. A decision that is left out is the usual: the actor goes on.
    """
    tries = 0
    parts = 2
    while len(decisions) > 0 and tries < most:
        size = max(1, len(decisions) // parts)
        keys = list(decisions)
        for start in range(0, len(keys), size):
            left_out = set(keys[start : start + size])
            rest = {key: one for key, one in decisions.items() if key not in left_out}
            tries += 1
            if fails(rest):
                decisions, parts = rest, max(parts - 1, 2)
                break
            if tries >= most:
                return decisions
        else:
            if size == 1:
                return decisions
            parts = min(parts * 2, len(decisions))
    return decisions

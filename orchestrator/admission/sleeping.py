"""Waiting without a slot: with a thread that stays, or asleep, with nobody there.

Who is asleep is woken by the gate itself: by the script that ends what it waits for, fails its
wait or hands it the lock, or by a timer. What only PostgreSQL knows of (messages, signals, ends
that the gate was not told of) wakes it by `wake` and `tell_ended`. To be woken is only a hint:
the instance is in line again, and its next attempt looks for itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.admission.pump import Pump
from orchestrator.admission.replies import Glance
from orchestrator.admission.values import hold_values
from orchestrator.domain.instance import Instance, NewInstance

#: How many ids one call of a script takes.
MOST_IDS = 500


class SleepCalls(Pump):
    """One method a script."""

    def suspend(
        self,
        instance_id: str,
        attempt: int,
        worker: str = "",
        *,
        wake_in: float | None = None,
        ready: bool = False,
        ended: Collection[str] = (),
    ) -> bool:
        """Free the slot of an attempt that waits; False where this attempt holds none.

        With a `worker`, a thread of it stays, and its lease with it. Without, the instance is
        asleep until what it waits for is over, or for `wake_in` seconds at most; then it is in
        line again, ahead of new work, as it is at once if what it waits for is over already:
        because the caller says so (`ready`), or the gate knows. `ended`: those of its targets
        that have ended by now, as seen in PostgreSQL *after* `begin_wait`: what the gate was
        told before it knew of the wait, it cannot know.
        """
        done, more = self._run(
            "suspend",
            id=instance_id,
            attempt=attempt,
            worker=worker,
            wake_ms="" if wake_in is None else round(wake_in * 1000),
            ready=int(ready),
            ended=list(ended),
        )
        self._pump_if(more)
        return bool(done)

    def resume(self, instance_id: str, attempt: int) -> Glance:
        """Ask for a slot again; answers where the instance is now, and as which attempt."""
        place, newest, more = self._run("resume", id=instance_id, attempt=attempt)
        self._pump_if(more)
        return Glance(place, int(newest), "")

    def wake(self, ids: Sequence[str]) -> None:
        """What these wait for may be here: have those that are asleep look.

        For rows that are `waiting`: one that is about to sleep is woken as soon as it does.
        """
        self._run_in_parts("wake", ids)

    def tell_ended(self, ids: Sequence[str]) -> None:
        """These have ended for good: nobody waits for them any more."""
        self._run_in_parts("tell_ended", ids)

    def hurry(self) -> None:
        """Have every worker look at once at what has become of its instances; a hint."""
        self._ask_everywhere("publish", "due", "", 0)

    def hold(self, new: NewInstance | Instance, targets: Sequence[str], needs: int) -> str:
        """Keep a recorded spawn until `needs` of the targets have ended; answers its place."""
        return self.hold_many([(new, targets, needs)])[0]

    def hold_many(
        self, held: Sequence[tuple[NewInstance | Instance, Sequence[str], int]]
    ) -> list[str]:
        """`hold` for several in one round trip.

        Ends that the gate was told of before are not seen: look in PostgreSQL afterwards which of
        the targets have ended, and say so with `tell_ended`.
        """
        replies = self._run_many("hold", [hold_values(*one) for one in held])
        self._pump_if(any(more for _, more in replies))
        return [place for place, _ in replies]

    def _run_in_parts(self, name: str, ids: Sequence[str]) -> None:
        more = False
        for start in range(0, len(ids), MOST_IDS):
            more |= any(self._run_split(name, ids[start : start + MOST_IDS]))
        self._pump_if(more)

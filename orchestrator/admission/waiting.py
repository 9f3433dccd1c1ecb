"""The gate's part in waiting: who waits for whom, locks, and slots that are kept meanwhile.

`claim` names one wait of one run of an instance, or one lock it wants: `<run>:<number>`. A call
that is repeated with its claim changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.admission.caller import ScriptCaller
from orchestrator.admission.replies import WaitReply, to_stalls, to_wait_reply
from orchestrator.domain.instance import Instance
from orchestrator.domain.waits import Stall


class WaitCalls(ScriptCaller):
    """One method a script. The instance says in whose gate it happens."""

    def begin_wait(
        self,
        instance: Instance,
        attempt: int,
        claim: str,
        targets: Sequence[str],
        needs: int | None = None,
        kind: str = "ended",
    ) -> WaitReply:
        """An attempt waits until `needs` of the instances (None: all) have ended.

        With the kind `reply` it waits until they have answered; see `answer`.
        """
        distinct = list(dict.fromkeys(targets))
        reply = self._run(
            "begin_wait",
            id=instance.id,
            attempt=attempt,
            claim=claim,
            kind=kind,
            needs=len(distinct) if needs is None else needs,
            targets=distinct,
        )
        return to_wait_reply(reply)

    def end_wait(self, instance: Instance, claim: str) -> None:
        """A wait is given up; nothing of it is left behind."""
        self._run("end_wait", id=instance.id, claim=claim)

    def answer(self, instance: Instance, target: str) -> bool:
        """`target` has answered an instance that waits for it; whether that was the last needed."""
        return bool(self._run("answer", id=instance.id, target=target))

    def block(self, instance: Instance, attempt: int, claim: str) -> bool:
        """An attempt waits for a limited time and keeps its slot; `end_wait` ends it."""
        return bool(self._run("block", id=instance.id, attempt=attempt, claim=claim))

    def take_lock(self, instance: Instance, attempt: int, claim: str, name: str) -> WaitReply:
        """Ask for a lock of the instance's tenant, or whether it has been given by now."""
        reply = self._run("take_lock", id=instance.id, attempt=attempt, claim=claim, lock=name)
        return to_wait_reply(reply)

    def hold_locks(self, held: Sequence[tuple[Instance, int, str, str, int]]) -> list[bool]:
        """Say that locks are held, in case the gate has forgotten; False for what is lost.

        `held`: instance, attempt, claim, name and token of each.
        """
        calls = [
            {"id": one.id, "attempt": attempt, "claim": claim, "lock": name, "token": token}
            for one, attempt, claim, name, token in held
        ]
        return [bool(reply) for reply in self._run_many("hold_lock", calls)]

    def free_lock(self, instance: Instance, claim: str, name: str) -> bool:
        """Give a lock up; False when it was lost before."""
        return bool(self._run("free_lock", id=instance.id, claim=claim, lock=name))

    def recheck_waits(self, budget: int, again: float, most: int = 100) -> int:
        """Search around waits that had too much around them; answers how many had to fail.

        `budget`: nodes to look at for each. One that still has too much around it is looked at
        after `again` seconds. At most `most` in each shard.
        """
        return sum(self._recheck(number, budget, again, most) for number in range(self.size))

    def stalls(self, *, record: bool = False, budget: int = 1_000) -> list[Stall]:
        """Where every slot is held by attempts that only wait, while others are in line.

        With `record`, what is found is remembered, so that the next look knows since when.
        """
        replies = self._run_everywhere("stalls", budget=budget, record=int(record))
        return [stall for reply in replies for stall in to_stalls(reply)]

    def _recheck(self, number: int, budget: int, again: float, most: int) -> int:
        failed = 0
        for _ in range(most):
            values = {"budget": budget, "again_ms": round(again * 1000)}
            found, fails = self._run_on(number, "recheck", **values)
            failed += fails
            if not found:
                break
        return failed

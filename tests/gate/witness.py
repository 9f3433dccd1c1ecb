"""A process whose every script run leaves a mark, by which its place among all runs is known.

The server runs scripts one after another, so there is one order of all runs: the probe writes it
down, as a list of the tokens that callers add to their calls. That order is the witness: a model
that does the same things in it must give the same answers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from orchestrator.admission.scripts import Library, Script
from orchestrator.admission.shard import Shard
from orchestrator.admission.wire import pack, pack_head
from tests.gate.crowd import Participant
from tests.gate.together import wait_for_start
from tests.gate.traced import Call, TracedGate
from tests.support.clock import PLAIN_MESSAGE, PROBE

#: The probe of the tests, with the caller's token and the time in its mark.
WITNESS = PROBE.replace("'[\"call\"]'", "cjson.encode({'call', KEYS[2] or '', tostring(now)})")
assert WITNESS != PROBE

#: A run, and the token by which it is found in the order of all.
Marked = tuple[str, Call]


class MarkingShard(Shard):
    """Gives each run a token, as a second key."""

    def __init__(self, shard: Shard, who: str) -> None:
        self.__dict__ = shard.__dict__
        self._tokens = (f"{who}-{number}" for number in itertools.count())
        self.given: list[str] = []

    def _evaluate(self, script: Script, calls: Sequence[list[object]]) -> list[Any]:
        self.redis.script_load(script.source)
        commands = []
        for arguments in calls:
            self.given.append(next(self._tokens))
            head = pack_head("EVALSHA", script.sha, "2", self._tag, self.given[-1])
            commands.append(pack(head, 5, arguments))
        return self._wire.call_many(commands)


class MarkingGate(TracedGate):
    """A traced gate that knows the token of each of its runs."""

    def __init__(self, url: str, who: str) -> None:
        super().__init__(url, Library(PLAIN_MESSAGE, WITNESS))
        self.marking = MarkingShard(self.shards[0], who)
        self.shards = [self.marking]
        self.marked: list[Marked] = []

    def _note(self, name: str, values: Any, reply: Any) -> None:
        super()._note(name, values, reply)
        [call] = self.take_calls()
        self.marked.append((self.marking.given[len(self.marked)], call))


class Witnessed(Participant):
    """One of the crowd that only does things, and looks at nothing by the server's real clock."""

    def do_something(self) -> None:
        """One operation."""
        common, rare = (self._spawn, self._begin, self._end), (self._hand_back, self._beat)
        what = self._random.choice([*common, *common, self._wait, self._go_on, *rare])
        what()
        self.report.done[what.__name__] += 1


def take_part(url: str, number: int, operations: int) -> tuple[list[Marked], Counter[str]]:
    """Wait for the start and do random operations. Runs in a process of its own."""
    with closing(MarkingGate(url, str(number))) as gate:
        wait_for_start(gate)
        one = Witnessed(gate, number)
        for _ in range(operations):
            one.do_something()
        return gate.marked, one.report.done

"""A gate and its model, doing the same things and compared after each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import note

from orchestrator.admission.keys import hash_tag, key
from tests.gate import observe, observe_shares
from tests.gate.traced import GATE, Call, TracedGate
from tests.support.clock import Entry, read_journal
from tests.support.displacing import next_victim
from tests.support.gate_model import GateModel, Told

JOURNAL = key(GATE, "generation").replace("generation", "journal")


#: Scripts that hand out, and have others give way, whatever they find.
_PUMPING = {
    *("cancel", "pump_now", "heartbeat", "sweep", "wake", "tell_ended", "forget", "refresh_flows"),
}


class Twins:
    """The two, and what was in Redis when they were last compared."""

    def __init__(self, gate: TracedGate) -> None:
        self.gate = gate
        self.model = GateModel(now=gate.clock.now)
        #: whether they were the same when they were last compared
        self.are_alike = True
        self._found: observe.Dump = {}
        self.compare()

    def set_clock(self, now: int) -> None:
        """Let it be this time for both."""
        note(f"clock {now - self.model.now:+} ms")
        self.gate.clock.set(now)
        self.model.now = now

    def act(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call this method of the gate, let the model do the same, and compare."""
        self.are_alike = False
        note(f"{getattr(method, '__name__', method)}{arguments}")
        result = method(*arguments)
        self.compare(may_exceed=method == self.gate.adopt)
        self.are_alike = True
        return result

    def compare(self, may_exceed: bool = False) -> None:
        """Let the model run the scripts that the gate has run; everything must be the same.

        `may_exceed`: limits do not bind what runs already.
        """
        told: list[Entry] = []
        found = observe.dump(self.gate.redis, drain=True)
        journal = iter(read_journal(found.get(JOURNAL, ())))
        for call in self.gate.take_calls():
            entries = next(journal) if call.is_timed else []
            told += entries
            self._compare_call(call, [_told(entry) for entry in entries])
        before, self._found = self._found, found
        outside = [name for name in found if not name.startswith(hash_tag(GATE))]
        assert not outside, f"{outside} may be on another node than the rest"
        wanted = observe.expected(GATE, self.model)
        different = observe.differences(observe.state_of(GATE, found), wanted)
        assert not different, different
        observe.check_slots(GATE, found)
        observe.check_places(GATE, found)
        observe.check_capacity(GATE, found, self.model)
        observe_shares.check_flows(GATE, found, self.model)
        observe_shares.check_ready_sets(GATE, found, self.model)
        observe_shares.check_shares(GATE, found, self.model)
        _check_lists(found, told)
        if not may_exceed:
            self._check_limits(before, found)

    def _compare_call(self, call: Call, told: list[Told]) -> None:
        model = self.model
        if call.name in ("begin_rebuild", "hold_rebuild", "finish_rebuild", "explain"):
            return
        model.told = []
        model.allowance = sum(one.kind in ("message", "granted") for one in told)
        model.displacements = sum(one.kind == "displace" for one in told)
        reply = getattr(model, call.name)(**call.values)
        assert plain_reply(call) == reply, f"{call.name} answered {call.reply}, not {reply}"
        assert told == model.told, f"{call.name} told {told}, not {model.told}"
        if not call.more and call.name not in ("configure", "adopt"):
            owed = model.owed()
            assert owed is None, f"{call.name} leaves {owed} without a wake"
        if not call.more and call.name in _PUMPING:
            assert next_victim(model) is None, f"{call.name} leaves {next_victim(model)}"

    def _check_limits(self, before: observe.Dump, after: observe.Dump) -> None:
        """No count of slots is above its limit now, unless it was there before."""
        for item in filter(lambda item: item.holds, self.model.items.values()):
            for name, scope in zip(
                [*observe.slot_sets(GATE, item), key(GATE, "leases")],
                ("session", "tenant", "agent", "pool", "global"),
                strict=True,
            ):
                used, earlier = len(after.get(name, ())), len(before.get(name, ()))
                limit = self.model.limit(scope, item)
                assert used <= max(earlier, limit), f"{name} holds {used}"


def plain_reply(call: Call) -> Any:
    """A reply as the model gives it: what a heartbeat doubts has no order."""
    if call.name != "heartbeat":
        return call.reply
    due, displaced, doubtful, *ids = call.reply
    others = ids[displaced : displaced + doubtful], ids[displaced + doubtful :]
    return [due, ids[:displaced], *(sorted(set(some)) for some in others)]


def _told(entry: Entry) -> Told:
    """An entry of the journal in the model's words."""
    if entry.command == "LPUSH":
        one, attempt, _agent, queue, level = entry.text.split(" ")
        assert entry.target == (queue if level == "0" else f"{queue}\x06\x16{level}")
        return Told(
            "message", queue.removeprefix(key(GATE, "queue")), one, int(attempt), int(level)
        )
    for kind in ("granted", "done"):
        prefix = key(GATE, kind)
        if entry.target.startswith(prefix):
            to = entry.target.removeprefix(prefix)
            one, attempt = [*entry.text.split(" "), "0"][:2]
            return Told(kind, to, one or to, int(attempt))
    if entry.target == key(GATE, "due"):
        return Told("due", str(entry.text), "")
    assert entry.target == key(GATE, "stop")
    one, *reason = entry.text.split(" ")
    assert reason[:1] in ([], ["PREEMPTED"])
    return Told("displace" if reason else "stop", one, one, *map(int, reason[1:]))


def _check_lists(found: observe.Dump, told: Sequence[Entry]) -> None:
    """The broker lists hold what was pushed, the oldest at the end that workers read from."""
    pushed: defaultdict[str, list[str]] = defaultdict(list)
    for entry in told:
        if entry.command == "LPUSH":
            pushed[entry.target].insert(0, entry.text)
    lists = {name: value for name, value in found.items() if name.startswith(key(GATE, "queue"))}
    assert lists == pushed

"""Danger: a message is lost, comes twice, overtakes another, or reaches a stranger."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.ids import new_id
from orchestrator.domain.instance import Instance
from orchestrator.domain.journal import Entry
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.message import MessageKind, NewMessage, Reach
from orchestrator.domain.waits import Wait, WaitKind
from orchestrator.store.journal import Recording
from orchestrator.store.messages import Removal
from orchestrator.store.store import Ending, Store
from tests.store.life import begun, child, root
from tests.support.make import spawn_of
from tests.support.waiting import wait_until


def running(store: Store, **fields: Any) -> Instance:
    return begun(store, root(store, **fields))


def message(to: str | None, body: Any = "hello", **fields: Any) -> NewMessage:
    values: dict[str, Any] = {
        "id": new_id(),
        "kind": MessageKind.MESSAGE,
        "reach": Reach.INSTANCE,
        "body": json.dumps(body),
        "target": to,
    }
    return NewMessage(**values | fields)


def place(instance: Instance, position: int = 0, kind: str = "send", **fields: Any) -> Recording:
    return Recording(instance.id, instance.attempt, Entry(position, kind, ""), **fields)


def receive(store: Store, instance: Instance, position: int = 0, box: str = "message") -> Any:
    reply = store.messages.receive(place(instance, position, "receive"), box, None)
    return None if reply.message is None else reply.message["body"]


def waits(store: Store, instance: Instance, kind: WaitKind, name: str = "") -> bool:
    """It falls asleep; answers whether that lasts."""
    wait = Wait(kind, position=0, name=name)
    reason = Reason.WAITING_FOR_MESSAGE
    done = store.journal.suspend(instance.id, instance.attempt, reason, wait, [])
    assert done is not None
    return not done.is_over


class TestOneMessage:
    def test_it_is_received_once_in_order(self, store: Store) -> None:
        one = running(store)
        for number in range(3):
            reply = store.messages.send(message(one.id, number))
            assert (reply.outcome, reply.recipients, reply.woken) == ("sent", 1, ())
        assert [receive(store, one, position) for position in range(4)] == [0, 1, 2, None]

    def test_a_repeated_send_is_one_message(self, store: Store) -> None:
        one = running(store)
        sent = message(one.id)
        assert store.messages.send(sent).outcome == "sent"
        again = store.messages.send(sent)
        assert (again.outcome, again.recipients) == ("repeated", 1)
        assert [receive(store, one, position) for position in range(2)] == ["hello", None]

    def test_another_message_with_its_id_is_refused(self, store: Store) -> None:
        one = running(store)
        sent = message(one.id)
        store.messages.send(sent)
        other = message(one.id, "other", id=sent.id)
        assert store.messages.send(other).outcome == "conflict"

    def test_boxes_are_apart(self, store: Store) -> None:
        one = running(store)
        store.messages.send(message(one.id, 1, kind=MessageKind.SIGNAL, name="go"))
        store.messages.send(message(one.id, 2, kind=MessageKind.REQUEST))
        assert receive(store, one, 0) == 2
        assert receive(store, one, 1) is None
        other = store.messages.receive(place(one, 2, "signal"), "signal", "stop")
        assert (other.outcome, other.message) == ("nothing", None)
        assert receive(store, one, 3, "signal") == 1

    def test_giving_up_is_remembered(self, store: Store) -> None:
        one = running(store)
        reply = store.messages.receive(place(one, 4, "receive"), "message", None, gives_up=True)
        assert (reply.outcome, reply.message) == ("gave_up", None)
        [entry] = store.journal.load(one.id)
        assert (entry.position, entry.kind, entry.value) == (4, "receive", {"message": None})

    def test_what_is_received_stands_in_the_journal(self, store: Store) -> None:
        one = running(store)
        sent = message(one.id, {"a": [1, None]})
        store.messages.send(sent)
        earlier = [Entry(0, "now", "", "then")]
        store.messages.receive(place(one, 1, "receive", others=earlier), "message", None)
        journal = store.journal.load(one.id)
        assert [entry.label for entry in journal] == ["now", "receive"]
        received = journal[1].value["message"]
        assert (received["id"], received["body"]) == (sent.id, {"a": [1, None]})

    def test_a_receipt_whose_answer_was_lost_is_repeated(self, store: Store) -> None:
        """Not the next message: the one that the journal has at this position."""
        one = running(store)
        store.messages.receive(place(one, 0, "receive"), "message", None, gives_up=True)
        for body in "ab":
            store.messages.send(message(one.id, body))
        again = store.messages.receive(place(one, 0, "receive"), "message", None)
        assert (again.outcome, again.message) == ("gave_up", None)
        assert [receive(store, one, position) for position in (1, 1, 2)] == ["a", "a", "b"]

    def test_a_fenced_attempt_neither_sends_nor_receives(self, store: Store) -> None:
        one = running(store)
        store.messages.send(message(one.id))
        late = Recording(one.id, one.attempt + 1, Entry(0, "send", ""))
        assert store.messages.send(message(one.id), late).outcome == "fenced"
        assert store.messages.receive(late, "message", None).outcome == "fenced"
        assert not store.messages.subscribe(late, one.session, "news")
        assert store.journal.load(one.id) == []
        assert receive(store, one) == "hello"


class TestWhoIsReached:
    def tree(self, store: Store) -> list[Instance]:
        top = running(store)
        below = begun(store, child(store, top))
        return [top, below, child(store, below), running(store)]

    def test_a_session_but_its_sender(self, store: Store) -> None:
        instances = self.tree(store)
        running(store, session="other")
        sent = message(None, reach=Reach.SESSION, session="session")
        reply = store.messages.send(sent, place(instances[1]))
        assert (reply.outcome, reply.recipients, reply.skipped) == ("sent", 3, 0)
        reached = {one.recipient for one in store.messages.of_session("session", 10)}
        assert reached == {one.id for one in instances} - {instances[1].id}

    def test_a_subtree(self, store: Store) -> None:
        top, below, leaf, _ = self.tree(store)
        sent = message(top.id, reach=Reach.SUBTREE)
        store.messages.send(sent, place(top))
        reached = {one.recipient for one in store.messages.of_session("session", 10)}
        assert reached == {below.id, leaf.id}

    def test_those_who_listen_to_a_topic(self, store: Store) -> None:
        listener, other = running(store), running(store)
        assert store.messages.subscribe(place(listener), "session", "news")
        assert store.messages.subscribe(place(listener, 1), "session", "news")
        assert store.messages.subscribe(place(other), "session", "weather")
        sent = message(None, reach=Reach.TOPIC, session="session", name="news")
        assert store.messages.send(sent).recipients == 1
        by_name = store.messages.receive(place(listener, 2), "message", "news")
        assert by_name.outcome == "received"

    def test_thousands_at_once(self, store: Store) -> None:
        store.record_many([spawn_of() for _ in range(3_000)], lambda *_: "")
        sent = message(None, reach=Reach.SESSION, session="session")
        assert store.messages.send(sent).recipients == 3_000
        assert len(store.messages.of_session("session", 5_000)) == 3_000

    def test_the_ended_are_refused_or_skipped(self, store: Store) -> None:
        one, other = running(store), running(store)
        for each in (one, other):
            store.messages.subscribe(place(each), "session", "news")
        store.settle(one.id, 1, Ending(State.COMPLETED, result="1"))
        assert store.messages.send(message(one.id)).outcome == "ended"
        sent = message(None, reach=Reach.TOPIC, session="session", name="news")
        reply = store.messages.send(sent)
        assert (reply.recipients, reply.skipped) == (1, 1)

    def test_what_was_sent_before_the_end_is_dead(self, store: Store) -> None:
        one = running(store)
        sent = message(one.id)
        store.messages.send(sent)
        store.settle(one.id, 1, Ending(State.COMPLETED, result="1"))
        [delivery] = store.messages.of_instance(one.id, 10)
        assert delivery.state == "dead"
        assert store.messages.send(sent).outcome == "repeated"

    @pytest.mark.parametrize(
        ("fields", "outcome"),
        [
            ({"tenant": "other"}, "other_tenant"),
            ({"session": "other"}, "other_session"),
            ({"target": new_id()}, "unknown"),
        ],
    )
    def test_strangers_are_not_reached(
        self, store: Store, fields: dict[str, Any], outcome: str
    ) -> None:
        one = running(store)
        assert store.messages.send(message(**{"to": one.id, **_to(fields)})).outcome == outcome
        assert store.messages.of_session("session", 10) == []

    def test_a_session_of_another_tenant_is_not_reached(self, store: Store) -> None:
        running(store)
        sent = message(None, reach=Reach.SESSION, session="session", tenant="other")
        assert store.messages.send(sent).outcome == "other_tenant"
        sent = message(None, reach=Reach.SESSION, session="nobody's", tenant="other")
        assert store.messages.send(sent).outcome == "unknown"


def _to(fields: dict[str, Any]) -> dict[str, Any]:
    """`target` under the name that `message` has for it."""
    return {"to" if name == "target" else name: value for name, value in fields.items()}


class TestFallingAsleep:
    def test_a_message_before_it_keeps_awake(self, store: Store) -> None:
        one = running(store)
        store.messages.send(message(one.id))
        assert not waits(store, one, WaitKind.MESSAGE)

    def test_a_message_after_it_wakes(self, store: Store) -> None:
        one = running(store)
        assert waits(store, one, WaitKind.MESSAGE)
        assert store.messages.send(message(one.id)).woken == (one.id,)
        assert store.journal.ready([one.id]) == [one.id]

    @pytest.mark.parametrize(
        ("kind", "name", "wakes"),
        [
            (WaitKind.MESSAGE, "", False),
            (WaitKind.SIGNAL, "go", True),
            (WaitKind.SIGNAL, "stop", False),
            (WaitKind.TIMER, "", False),
        ],
    )
    def test_only_what_is_waited_for_wakes(
        self, store: Store, kind: WaitKind, name: str, wakes: bool
    ) -> None:
        one = running(store)
        assert waits(store, one, kind, name)
        sent = message(one.id, kind=MessageKind.SIGNAL, name="go")
        assert store.messages.send(sent).woken == ((one.id,) if wakes else ())
        assert store.journal.ready([one.id]) == ([one.id] if wakes else [])

    @pytest.mark.parametrize("sleeps_first", [True, False])
    def test_whichever_is_first_it_is_not_overslept(
        self, store: Store, sql: psycopg.Connection, database_url: str, sleeps_first: bool
    ) -> None:
        """The second one begins while the first one's transaction is open."""
        one = running(store)
        sends = (
            "SELECT woken FROM send_message(%s, 'message', 'instance', %s, NULL, NULL, NULL, NULL,"
            " NULL, NULL, '1', NULL, NULL)"
        )
        sleeps = "SELECT new_state FROM suspend_instance(%s, 1, 'WAITING_FOR_MESSAGE', %s, NULL)"
        wait = json.dumps({"kind": "message", "name": ""})
        steps = [(sends, (new_id(), one.id)), (sleeps, (one.id, wait))]
        if sleeps_first:
            steps.reverse()
        thread = ThreadPoolExecutor(1)
        with thread, sql.transaction():
            first = sql.execute(steps[0][0].encode(), steps[0][1]).fetchone()
            second = thread.submit(_do, database_url, *steps[1])
            wait_until(lambda: _is_blocked(database_url), "the second one waits for the row")
        if sleeps_first:
            assert (first, second.result()) == (("waiting",), ([UUID(one.id)],))
        else:
            assert (first, second.result()) == (([],), ("queued",))


def _do(database_url: str, sql: str, parameters: tuple[str, ...]) -> object:
    with psycopg.connect(database_url, autocommit=True) as own:
        return own.execute(sql.encode(), parameters).fetchone()


def _is_blocked(database_url: str) -> bool:
    query = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
             " AND datname = current_database()")  # fmt: skip
    with psycopg.connect(database_url) as looking:
        return looking.execute(query).fetchone() == (1,)


class TestGoingBack:
    def test_what_was_received_behind_it_comes_again(self, store: Store) -> None:
        one = running(store)
        for body in "abc":
            store.messages.send(message(one.id, body))
        assert [receive(store, one, position) for position in range(3)] == ["a", "b", "c"]
        with store.database.connection() as connection:
            connection.execute("SELECT rewind_instance(%s, 1, '{}')", (one.id,))
        again = store.messages.receive(place(one, 1, "receive"), "message", None)
        assert again.message is not None
        assert (again.message["body"], again.message["redeliveries"]) == ("b", 1)
        assert receive(store, one, 2) == "c"
        assert receive(store, one, 3) is None

    def test_a_journal_that_begins_anew_gives_nothing_back(self, store: Store) -> None:
        one = running(store)
        store.messages.send(message(one.id))
        assert receive(store, one, 5) == "hello"
        assert store.journal.begin_anew(one.id, one.attempt, "{}") == []
        again = begun(store, one, attempt=2)
        assert receive(store, again, 0) is None


class TestRemoving:
    def test_only_what_is_old_and_nobody_can_receive(self, store: Store) -> None:
        one, other = running(store), running(store)
        store.messages.subscribe(place(one), "session", "news")
        for each in (one, one, other):
            store.messages.send(message(each.id))
        store.messages.send(message(None, reach=Reach.SESSION, session="session"))
        assert receive(store, one) == "hello"
        assert store.messages.remove(0, 0.0, 10).removed == 0
        store.settle(one.id, 1, Ending(State.COMPLETED, result="1"))
        assert store.messages.remove(0, 3_600.0, 10) == Removal(0, None)
        first = store.messages.remove(0, 0.0, 2)
        assert (first.removed, first.last is None) == (2, False)
        second = store.messages.remove(first.last or 0, 0.0, 10)
        assert second.removed == 0
        left = [found.recipient for found in store.messages.of_session("session", 10)]
        assert sorted(left) == sorted([other.id, one.id, other.id])
        store.settle(other.id, 1, Ending(State.COMPLETED, result="1"))
        assert store.messages.remove(0, 0.0, 10).removed == 2
        assert store.messages.of_session("session", 10) == []


@settings(max_examples=30)
@given(counts=st.lists(st.integers(1, 12), min_size=8, max_size=8), repeats=st.booleans())
def _in_order(store: Store, counts: list[int], repeats: bool) -> None:
    one = running(store, session=f"session {new_id()}")

    def send(sender: int) -> None:
        for number in range(counts[sender]):
            sent = message(one.id, [sender, number])
            outcomes = [store.messages.send(sent).outcome for _ in range(1 + repeats)]
            assert outcomes == ["sent", "repeated"][: 1 + repeats]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))
    received = [receive(store, one, position) for position in range(sum(counts))]
    assert receive(store, one, len(received)) is None
    for sender, count in enumerate(counts):
        assert [number for who, number in received if who == sender] == list(range(count))


def test_each_senders_order_is_kept_and_nothing_comes_twice(store: Store) -> None:
    """Eight send at once, each message perhaps twice."""
    _in_order(store)

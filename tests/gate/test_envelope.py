"""The message that the gate writes is the one that the installed Celery would have sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.gate import Gate
from orchestrator.admission.keys import queue_name
from orchestrator.admission.scripts import Library
from orchestrator.config.settings import Settings
from orchestrator.domain.ids import new_id
from orchestrator.domain.lifecycle import State
from orchestrator.domain.names import is_identifier
from orchestrator.domain.priority import Priority
from orchestrator.transport import envelope
from tests.gate.rows import row_of
from tests.gate.tour import configure
from tests.support.make import spawn_of
from workers.app import make_app

ID, AGENT, QUEUE = "019a0000-0000-7000-8000-000000000001", "audit.file", "{orchestrator}.default"

#: Where ours differs, and why that is all right.
DECLARED = {
    # the same JSON, without base64 around it
    ("body", ""),
    ("properties", "body_encoding"),
    # Celery names the process that sent it
    ("headers", "origin"),
    # for people: what Flower shows
    ("headers", "argsrepr"),
    ("headers", "kwargsrepr"),
    # random in Celery; nobody replies to a spawn, and the gate acknowledges nothing
    ("properties", "delivery_tag"),
    ("properties", "reply_to"),
}

identifiers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,99}", fullmatch=True)


@pytest.fixture(scope="module")
def celery() -> Iterator[Celery]:
    """The installed Celery, with a broker in memory."""
    app = Celery("golden", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def theirs(celery: Celery) -> dict[str, Any]:
    """What Celery puts on the wire for attempt 3."""
    task_id = f"{ID}.3"
    celery.send_task(
        envelope.RUN_TASK,
        args=[ID, 3],
        task_id=task_id,
        queue=QUEUE,
        priority=5,
        shadow=AGENT,
        ignore_result=True,
    )
    with celery.connection_for_read() as connection:
        sent: dict[str, Any] = connection.default_channel._get(QUEUE)
    return sent


@pytest.fixture
def ours() -> dict[str, Any]:
    """The same by our template."""
    message: dict[str, Any] = json.loads(envelope.render(ID, 3, AGENT, QUEUE, 5))
    return message


def test_nothing_differs_but_what_is_declared(theirs: Any, ours: Any) -> None:
    assert _flat(theirs).keys() == _flat(ours).keys()
    different = {name for name, value in _flat(theirs).items() if value != _flat(ours)[name]}
    assert different <= DECLARED


def test_it_decodes_to_the_same_call(theirs: Any, ours: Any, celery: Celery) -> None:
    with celery.connection_for_read() as connection:
        messages = [
            connection.default_channel.message_to_python(message) for message in (theirs, ours)
        ]
    expected, found = messages
    assert found.decode() == expected.decode()
    assert (found.content_type, found.content_encoding) == (
        expected.content_type,
        expected.content_encoding,
    )
    assert found.decode()[0] == [ID, 3]


def _flat(message: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """(part, field) -> value; parts without fields have the field ``."""
    return {
        (part, field): value
        for part, fields in message.items()
        for field, value in (fields.items() if isinstance(fields, dict) else [("", fields)])
    }


# --- names --------------------------------------------------------------------------------------


@given(agent=identifiers, pool=identifiers, attempt=st.integers(1, 10**9), level=st.integers(0, 9))
def test_no_name_needs_escaping(agent: str, pool: str, attempt: int, level: int) -> None:
    queue = queue_name("orchestrator", pool)
    message = json.loads(envelope.render(ID, attempt, agent, queue, level))
    assert message["headers"]["shadow"] == agent
    assert message["properties"]["delivery_info"]["routing_key"] == queue
    assert message["properties"]["priority"] == level
    assert json.loads(message["body"])[0] == [ID, attempt]


@given(start=identifiers, odd=st.characters(), end=st.sampled_from(["", "a"]))
def test_a_name_that_needs_escaping_is_no_identifier(start: str, odd: str, end: str) -> None:
    name = start[:98] + odd + end
    is_plain = json.dumps(name) == f'"{name}"' and "]" not in name
    assert is_plain or not is_identifier(name)


@given(name=identifiers)
def test_every_plain_name_is_an_identifier(name: str) -> None:
    assert is_identifier(name)


def test_ids_are_plain() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", new_id())


# --- on the wire --------------------------------------------------------------------------------


@pytest.fixture
def gate(redis_url: str) -> Iterator[Gate]:
    """A gate that writes real messages."""
    with closing(Gate(redis_url, Library(envelope.lua_function()))) as gate:
        gate.begin_rebuild("token", 10.0)
        configure(gate)
        gate.finish_rebuild("token")
        gate.heartbeat("worker", "default", 100, [])
        yield gate


def _spawn(gate: Gate, priority: Priority) -> str:
    new = spawn_of(priority=priority, agent=AGENT, session=priority.label)
    gate.check_in(new, "queue")
    gate.follow(new)
    return new.id


def test_the_scripts_write_what_the_template_says(gate: Gate) -> None:
    one = _spawn(gate, Priority.NORMAL)
    [text] = gate.redis.lrange(gate.queues("default")[0] + envelope.PRIORITY_SEPARATOR + "5", 0, -1)
    assert text == envelope.render(one, 1, AGENT, gate.queues("default")[0], 5)


def test_a_consumer_of_celery_reads_the_most_urgent_first(gate: Gate, settings: Settings) -> None:
    # Given one of each class, the least urgent first, and one urgent one that comes again
    ids = {priority: _spawn(gate, priority) for priority in reversed(Priority)}
    again = spawn_of(priority=Priority.CRITICAL, agent=AGENT)
    gate.check_in(again, "queue")
    gate.follow(again)
    gate.redis.delete(gate.queues("default")[0] + envelope.PRIORITY_SEPARATOR + "1")
    gate.requeue(row_of(again, State.QUEUED, 1), 1)
    # When Celery's own consumer reads the queue
    app = make_app(settings)
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.amqp.queues[gate.queues("default")[0]], no_ack=True)
        calls = [queue.get(timeout=10).decode()[0] for _ in range(5)]
        queue.close()
    app.close()
    # Then they come by class
    del ids[Priority.CRITICAL]
    assert calls == [[again.id, 2], *([ids[priority], 1] for priority in sorted(ids))]

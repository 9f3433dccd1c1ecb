"""The Celery message of an attempt, as a template that the gate's scripts fill in.

Celery message protocol 2 (Celery documentation, "Message Protocol") inside kombu's envelope
for virtual transports. The body is JSON inside JSON: kombu reads a `body_encoding` of `utf-8`
as "take it as it is", so no base64 has to be computed in Lua. A golden test decodes the
message with the installed Celery, an acceptance test has a real worker run it.
"""

from __future__ import annotations

import json

#: The one Celery task that runs agents; workers register it under this name.
RUN_TASK = "orchestrator.run"

#: Between a queue's name and its priority level in the name of the Redis list.
PRIORITY_SEPARATOR = "\x06\x16"

#: Levels of urgency in one queue: five classes, each with returning ones ahead of new ones.
PRIORITY_LEVELS = range(10)

#: Places in the template and the Lua variables that fill them. None can need escaping: ids and
#: attempts are plain, agents and pools are held to a plain alphabet.
_PLACES = {
    "«id»": "id",
    "«attempt»": "attempt",
    "«agent»": "agent",
    "«queue»": "queue",
    "«level»": "level",
}


def template() -> str:
    """The message as JSON text with places like `«id»`."""
    body = [["«id»", -1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    # The Celery task id names the attempt: Flower then shows each attempt as a task of its own.
    task_id = "«id».«attempt»"
    message = {
        "body": json.dumps(body, ensure_ascii=False).replace("-1", "«attempt»"),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": RUN_TASK,
            "id": task_id,
            # What Flower and the logs call the task.
            "shadow": "«agent»",
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": task_id,
            "parent_id": None,
            "argsrepr": "«id» #«attempt»",
            "kwargsrepr": "",
            "origin": "gate",
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "«queue»"},
            "priority": "«level»",
            "body_encoding": "utf-8",
            "delivery_tag": task_id,
        },
    }
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return text.replace('"«level»"', "«level»")


def render(instance_id: str, attempt: int, agent: str, queue: str, level: int) -> str:
    """The message as the scripts make it; for tests and tools."""
    text = template()
    values = {"id": instance_id, "attempt": attempt, "agent": agent, "queue": queue, "level": level}
    for place, name in _PLACES.items():
        text = text.replace(place, str(values[name]))
    return text


def lua_function() -> str:
    """Lua source of `message(id, attempt, agent, queue, level)`."""
    text = template()
    for place, name in _PLACES.items():
        text = text.replace(place, f"]==] .. {name} .. [==[")
    return f"local function message(id, attempt, agent, queue, level)\n  return [==[{text}]==]\nend"

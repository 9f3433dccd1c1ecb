"""What a program may ask for in its messages, and how each is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.agents.context import Context
from orchestrator.domain.errors import InvalidRequest, OrchestratorError
from orchestrator.domain.ids import parse_id
from orchestrator.domain.instance import Instance
from workers.runtimes.output import Message

#: What a `spawn` message may say beside `agent` and `args`; see `Context.spawn`.
SPAWN_OPTIONS = frozenset(
    {
        "priority",
        "timeout",
        "pool",
        "on_limit",
        "idempotency_key",
        "cost",
        "not_before",
        "expires_after",
    }
)

#: Waits for instances: their ids, how many have to end (None: all), seconds (None: for ever).
Wait = Callable[[list[str], int | None, float | None], list[Instance]]


class Requests:
    """Answers the messages of one program on behalf of its attempt."""

    def __init__(self, context: Context, wait: Wait) -> None:
        self._context, self._wait = context, wait
        self._known: dict[str, Callable[[Message], Message | None]] = {
            "spawn": self._spawn,
            "wait": self._wait_for,
            "cancel": self._cancel,
            "progress": self._progress,
        }

    def answer(self, message: Message) -> Message | None:
        """The answer to a message, with its `ref`; a refusal is an answer too."""
        ref = message.pop("ref", None)
        reply = self._try(message)
        return reply if reply is None or ref is None else reply | {"ref": ref}

    def _try(self, message: Message) -> Message | None:
        kind = message.pop("type")
        try:
            handler = self._known.get(kind)
            if handler is None:
                raise _unusable(f"there is no message of type {kind!r}")
            return handler(message)
        except OrchestratorError as error:
            return {"type": "refused"} | error.to_dict()
        except (TypeError, ValueError) as error:
            return {"type": "refused"} | _unusable(f"{kind}: {error}").to_dict()

    def _spawn(self, message: Message) -> Message:
        agent, args = message.pop("agent", None), message.pop("args", None)
        if not isinstance(agent, str):
            raise _unusable("spawn: agent is the name of an agent")
        if unknown := message.keys() - SPAWN_OPTIONS:
            raise _unusable(f"spawn: there is no option {', '.join(sorted(unknown))}")
        return {"type": "spawned", "id": self._context.spawn(agent, args, **message).id}

    def _wait_for(self, message: Message) -> Message:
        ids, needs, timeout = (message.get(one) for one in ("ids", "needs", "timeout"))
        if not (isinstance(ids, list) and ids and all(isinstance(one, str) for one in ids)):
            raise _unusable("wait: ids is a list of ids")
        if needs is not None and not (isinstance(needs, int) and 1 <= needs <= len(set(ids))):
            raise _unusable("wait: needs is how many of ids have to end")
        if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
            raise _unusable("wait: timeout is a number of seconds")
        ended = self._wait([parse_id(one) for one in ids], needs, timeout)
        return {"type": "waited", "results": [_told(one) for one in ended]}

    def _cancel(self, message: Message) -> Message:
        instance_id = message.get("id")
        if not isinstance(instance_id, str):
            raise _unusable("cancel: id is the id of an instance")
        report = self._context.cancel(parse_id(instance_id))
        return {"type": "cancelled", "ids": list(report.cancelled)}

    def _progress(self, message: Message) -> None:
        fraction, text = message.get("fraction"), message.get("text", "")
        try:
            self._context.progress(fraction, text)
        except (OrchestratorError, TypeError) as error:
            # Nobody waits for an answer to it.
            self._context.log.warning("program.progress_refused", error=str(error))


def _told(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "agent": instance.agent,
        "state": str(instance.state),
        "reason": instance.reason,
        "result": instance.result,
        "error": instance.error,
    }


def _unusable(what: str) -> InvalidRequest:
    return InvalidRequest("INVALID_MESSAGE", f"The message cannot be used: {what}.")

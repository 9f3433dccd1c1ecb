"""Where remote agents say that they are done: a POST, which becomes a signal to the instance.

The path of each is signed, so that nobody can end the work of others. A second call for the same
work is one too many and changes nothing.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator.agents.callback import instance_of, key_of, signal_of
from orchestrator.domain.errors import InstanceNotFound, MessageRefused, OrchestratorError
from orchestrator.domain.message import MessageKind, Reach
from orchestrator.engine import messages
from orchestrator.engine.deps import Deps
from orchestrator.telemetry.logging import get_logger

log = get_logger("orchestrator.callbacks")

#: Seconds that a caller may take for its request.
PATIENCE = 30.0


class Refused(Exception):
    """The call is not taken: an HTTP status and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class CallbackServer(ThreadingHTTPServer):
    """Takes callbacks once its `serve_forever` is called, each on a thread of its own."""

    daemon_threads = True

    def __init__(self, deps: Deps, secret: str, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.deps, self.secret = deps, secret


class _Handler(BaseHTTPRequestHandler):
    server: CallbackServer
    timeout = PATIENCE
    server_version = "orchestrator"
    sys_version = ""

    def do_POST(self) -> None:
        """Take one outcome."""
        try:
            take(self.server.deps, self.server.secret, self.path, self._body())
        except Refused as refused:
            self._answer(refused.status, {"error": refused.message})
        except OrchestratorError as error:
            self._answer(503 if error.retryable else 400, {"error": error.message})
        else:
            self._answer(202, {})

    def log_message(self, *_: object) -> None:
        """Addresses are secrets of those they were given to."""

    def _body(self) -> bytes:
        length, most = self.headers.get("Content-Length", ""), self.server.deps.max_payload_bytes
        if not length.isdecimal():
            raise Refused(411, "Say how long the body is, by Content-Length.")
        if int(length) > most:
            raise Refused(413, f"The body may have {most:,} bytes.")
        return self.rfile.read(int(length))

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        # What was not read of a refused body must not be taken for the next request.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)


def take(deps: Deps, secret: str, path: str, body: bytes) -> None:
    """Pass an outcome on to the instance whose work it is of; raises `Refused`."""
    key = key_of(path, secret)
    if key is None:
        raise Refused(404, "Nobody waits for anything at this address.")
    try:
        outcome = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body must be JSON.") from None
    if not isinstance(outcome, dict) or len({"result", "error"} & set(outcome)) != 1:
        raise Refused(400, 'The body must be {"result": ...} or {"error": "what went wrong"}.')
    instance_id = instance_of(key)
    message = messages.compose(
        deps,
        Reach.INSTANCE,
        outcome,
        kind=MessageKind.SIGNAL,
        target=instance_id,
        name=signal_of(key),
        identity=("callback", key),
    )
    try:
        messages.send(deps, message)
    except InstanceNotFound:
        raise Refused(410, f"Instance {instance_id} is no more.") from None
    except MessageRefused as refused:
        has_ended = refused.code == "RECIPIENT_ENDED"
        why = "has ended" if has_ended else "was told of another outcome before"
        raise Refused(410 if has_ended else 409, f"Instance {instance_id} {why}.") from None
    log.info("callback.taken", instance=instance_id)

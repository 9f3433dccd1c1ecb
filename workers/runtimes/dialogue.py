"""Talks with a program over its pipes until it has ended, on one thread and without blocking.

One loop looks at everything that may happen: output, errors, room for input, the program's end,
and the word that the attempt has to stop. Only the answer to a message may take its time (a wait
for other instances does); the program waits for it then.
"""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.engine.running import Run, Stop, StopReason
from workers.runtimes.group import Group
from workers.runtimes.output import InvalidOutput, Message, Notes, Output

#: Seconds between looks at whether the program has ended: its pipes may be held open by others.
TICK = 0.1
#: Seconds that a program has to end by itself after its result.
LAST_WORDS = 5.0
#: Seconds that one has to stop whose worker stops: the worker does not wait for longer.
SHORT_GRACE = 0.7
CHUNK = 65_536

#: Answers a message; None: it needs no answer.
Answer = Callable[[Message], Message | None]


class Dialogue:
    """One program, from its start line to its end."""

    def __init__(
        self, run: Run, group: Group, grace: float, max_bytes: int, *, is_interactive: bool
    ) -> None:
        self._run, self._group, self._grace = run, group, grace
        self._is_interactive = is_interactive
        self._output, self.notes = Output(max_bytes), Notes(run.instance)
        self._input = bytearray()
        self._selector = selectors.DefaultSelector()
        #: when it is told to end, and killed
        self._end_at = self._kill_at = float("inf")
        self.was_told = False
        #: its `result` or `error`
        self.last: Message | None = None
        #: what was wrong with its output
        self.fault: InvalidOutput | None = None

    def send(self, message: Message) -> None:
        """Write a line to its stdin, as soon as there is room."""
        if self._group.stdin < 0:
            return
        if not self._input:
            self._selector.register(self._group.stdin, selectors.EVENT_WRITE)
        self._input += json.dumps(message, ensure_ascii=False).encode() + b"\n"

    def hold(self, first: Message, answer: Answer) -> None:
        """Send the first line and answer what comes until the program has ended."""
        with self._selector, _Bell() as bell, self._run.waking(bell):
            for source in (self._group.stdout, self._group.stderr, bell.fileno()):
                self._selector.register(source, selectors.EVENT_READ)
            self.send(first)
            while not self._group.has_exited():
                self._turn(answer, bell)
                self._press_on()
            self._hear_all(lambda one: None if one["type"] == "wait" else answer(one))

    def _turn(self, answer: Answer, bell: _Bell) -> None:
        ready = {key.fd for key, _ in self._selector.select(TICK)}
        if self._group.stderr in ready:
            self._note()
        if self._group.stdout in ready:
            self._hear(answer)
        if self._group.stdin in ready:  # not if its last message has just closed it
            self._write()
        if bell.fileno() in ready:
            os.read(bell.fileno(), CHUNK)

    def _press_on(self) -> None:
        """Tell it to end, and then end it, when it is time for that."""
        now = time.monotonic()
        if self._run.stopped.is_set() and self._end_at > now:
            self._end_at = now
        if now < self._end_at:
            return
        if not self.was_told:
            self.was_told = True
            self._group.tell_to_end()
            is_hasty = self._run.reason is StopReason.WORKER_STOPPED
            self._kill_at = now + (min(self._grace, SHORT_GRACE) if is_hasty else self._grace)
        if now >= self._kill_at:
            self._group.kill()

    # --- the pipes ------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            del self._input[: os.write(self._group.stdin, self._input[:CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # it does not read, which is its own business
            self._input.clear()
        if not self._input:
            self._selector.unregister(self._group.stdin)
            if not self._is_interactive:
                self._group.close_stdin()

    def _hear(self, answer: Answer) -> bool:
        """Read some of stdout; answers whether there may be more."""
        data = self._read(self._group.stdout)
        if not data:
            return False
        if self.fault is None:
            self._take(lambda: self._output.feed(data), answer)
        return True

    def _note(self) -> bool:
        data = self._read(self._group.stderr)
        if data:
            self.notes.feed(data)
        return bool(data)

    def _read(self, pipe: int) -> bytes:
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return b""
        if data:
            self._run.show_progress()
        if not data and pipe in self._selector.get_map():
            self._selector.unregister(pipe)
        return data

    def _hear_all(self, answer: Answer) -> None:
        """Read what is left in the pipes, without waiting for those who hold them open."""
        for _ in range(64):  # pipes hold no more
            if not self._hear(answer) | self._note():
                break
        if self.fault is None and self.last is None:
            self._take(self._output.end, answer)

    # --- what it says ---------------------------------------------------------------------

    def _take(self, read: Callable[[], list[Message]], answer: Answer) -> None:
        try:
            for message in read():
                self._react(message, answer)
        except InvalidOutput as fault:
            self.fault = fault
            self._end_at = 0.0
        except Stop:
            self._end_at = 0.0

    def _react(self, message: Message, answer: Answer) -> None:
        if self.last is not None:
            return  # after its last word nothing counts
        if message["type"] in ("result", "error"):
            self.last = message
            self._end_at = time.monotonic() + LAST_WORDS
            self._end_input()
        elif (reply := answer(message)) is not None:
            self.send(reply)

    def _end_input(self) -> None:
        if self._input:
            self._selector.unregister(self._group.stdin)
            self._input.clear()
        self._group.close_stdin()


class _Bell(threading.Event):
    """An event that can also be selected for."""

    def __enter__(self) -> _Bell:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._is_open = threading.Lock()
        return self

    def __exit__(self, *_: Any) -> None:
        with self._is_open:
            os.close(self._read)
            os.close(self._write)
            self._write = -1

    def fileno(self) -> int:
        """What becomes readable when it rings."""
        return self._read

    def set(self) -> None:
        """Ring."""
        super().set()
        with self._is_open, suppress(BlockingIOError):
            if self._write >= 0:
                os.write(self._write, b"!")

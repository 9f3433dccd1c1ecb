"""Named points between two steps of a verb, at which tests kill the process.

`ORCHESTRATOR_FAULT_POINT=suspend.row:/tmp/mark` has the first process that comes to this point kill
itself, if it can make the file: whoever comes there later goes on, and so does everybody as long as
the folder of the file is not there. Nothing happens otherwise.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ORCHESTRATOR_FAULT_POINT"

#: Each point with what has been done when it is reached.
POINTS = {
    "spawn.checked_in": "the gate holds a slot or a place for a spawn",
    "spawn.recorded": "the row of a spawn stands, the gate was not told",
    "spawn.followed": "a spawn is in line or handed out, its parent has not gone on",
    "hold.edges": "the gate holds what starts after others, and was not told who has ended",
    "begin.before": "a message was read",
    "begin.row": "the row says that an attempt runs",
    "resume.before": "the message of an instance that has run before was read",
    "resume.row": "the row of an instance that has run before says that it runs again",
    "resume.loaded": "what earlier attempts have recorded was read",
    "step.before": "a step is due",
    "step.acted": "the action of a step is done, and not recorded",
    "step.recorded": "a step is recorded",
    "wait.begun": "the gate knows for whom an attempt is about to wait",
    "wait.left": "the function was left, the row says that it runs",
    "suspend.row": "the row says that an instance waits, its slot is held",
    "suspend.gate": "the gate has taken the slot back of one that waits",
    "settle.before": "the function has returned",
    "settle.row": "the row has ended, nobody was told",
    "release.before": "the row has ended, those below it were told, the slot is held",
    "release.done": "the slot is free",
    "retry.before": "the function has failed",
    "retry.row": "the row is in line again, what failed was taken back, the slot is held",
    "retry.requeued": "the gate has put it in line",
    "continue.row": "the row has other arguments and an empty journal, the slot is held",
    "continue.requeued": "the gate has put it in line",
}


def reached(point: str) -> None:
    """The process dies here, if a test asked for it."""
    if _asked is not None:
        _die(point)


def _die(point: str) -> None:
    assert point in POINTS, point
    assert _asked is not None
    wanted, _, mark = _asked.partition(":")
    if point != wanted:
        return
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except (FileExistsError, FileNotFoundError):
        return
    os.kill(os.getpid(), signal.SIGKILL)


_asked = os.environ.get(VARIABLE)

"""Danger: a program does what it likes, and the worker suffers for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.lifecycle import Reason, State
from orchestrator.domain.retry import RetryPolicy
from orchestrator.engine.running import StopReason
from tests.engine.bench import Bench
from tests.engine.runtimes.programs import (
    ended,
    error_of,
    gone,
    nothing_left,
    pid_in,
    program,
    python,
    shell,
    stop,
    under_way,
)


@pytest.fixture(autouse=True)
def tidy(bench: Bench) -> Iterator[None]:
    """No test leaves a process, an open file or a thread. The warden stays with its worker."""
    shell(bench, "echo 1", "first")
    assert ended(bench, name="first").result == 1
    with nothing_left():
        yield


# --- what it says -----------------------------------------------------------------------------


def test_one_value_is_the_result(bench: Bench) -> None:
    shell(bench, """printf '{\n "a": [1,\n 2]}'""")
    assert ended(bench).result == {"a": [1, 2]}


def test_it_is_given_all_it_needs_to_know(bench: Bench) -> None:
    shell(bench, "cat | sed 's/^/[/; s/$/]/'")
    one = ended(bench, {"text": "größer 🙂\n\t\"'"})
    [told] = one.result
    assert told.pop("deadline")
    assert told == {
        "type": "start",
        "id": one.id,
        "attempt": 1,
        "failures": 0,
        "agent": "program",
        "session": one.session,
        "tenant": "default",
        "depth": 0,
        "args": {"text": "größer 🙂\n\t\"'"},
    }


def test_messages_then_a_result(bench: Bench) -> None:
    shell(
        bench,
        """
        echo '{"type": "progress", "fraction": 0.5, "text": "reading"}'
        echo
        printf '{"type": "result", "value": "done"}'
        """,
    )
    assert ended(bench).result == "done"


def test_an_error_of_its_own(bench: Bench) -> None:
    shell(bench, """echo '{"type": "error", "kind": "NoSuchPage", "message": "404"}'; exit 4""")
    one = ended(bench)
    assert error_of(one) == ("AGENT_ERROR", "NoSuchPage")
    assert (one.error or {})["message"] == "404"


def test_an_error_that_no_retry_helps(bench: Bench) -> None:
    often = RetryPolicy(max_attempts=5, first_delay=0)
    shell(bench, """echo '{"type": "error", "message": "no", "retryable": false}'""", retry=often)
    assert ended(bench).state is State.FAILED
    shell(bench, "exit 1", "again", retry=often)
    assert ended(bench, name="again").state is State.QUEUED


@pytest.mark.parametrize(
    ("script", "reason", "kind"),
    [
        ("echo reading...; echo '{}'", "INVALID_RESULT", "InvalidOutput"),
        ("""echo '{"type": "progress"}'; echo 12 pages""", "INVALID_RESULT", "InvalidOutput"),
        ("printf '\\377\\376'", "INVALID_RESULT", "InvalidOutput"),
        ("echo NaN", "INVALID_RESULT", "NotJSON"),
        ("""echo '"\\u0000"'""", "INVALID_RESULT", "NotJSON"),
        ("true", "INVALID_RESULT", "NoResult"),
        ("""echo '{"type": "progress"}'""", "INVALID_RESULT", "NoResult"),
        ("echo 1; exit 3", "AGENT_ERROR", "ProgramFailed"),
        ("""echo '{"type": "result", "value": 1}'; exit 3""", "AGENT_ERROR", "ProgramFailed"),
        ("echo 1; kill -9 $$", "AGENT_ERROR", "ProgramKilled"),
        ("kill -SEGV $$", "AGENT_ERROR", "ProgramKilled"),
    ],
)
def test_what_is_no_result(bench: Bench, script: str, reason: str, kind: str) -> None:
    shell(bench, script)
    assert error_of(ended(bench)) == (reason, kind)


def test_the_end_of_its_stderr_is_recorded(bench: Bench) -> None:
    shell(bench, "yes note | head -100000 >&2; echo 'no such file' >&2; exit 1")
    error = ended(bench).error or {}
    assert error["message"] == "It ended with exit status 1."
    assert error["stderr"].endswith("note\nno such file\n")
    assert len(error["stderr"]) <= 4_000


def test_a_flood(bench: Bench) -> None:
    shell(bench, "yes")
    assert error_of(ended(bench)) == ("INVALID_RESULT", "InvalidOutput")


def test_a_line_without_end(bench: Bench) -> None:
    shell(bench, "tr '\\0' x < /dev/zero")
    assert error_of(ended(bench)) == ("INVALID_RESULT", "InvalidOutput")


def test_more_than_may_be_stored(bench: Bench) -> None:
    python(bench, 'print(\'{"type": "result", "value": "\' + \'x\' * 263_000 + \'"}\')')
    assert error_of(ended(bench)) == ("INVALID_RESULT", "TooLarge")


def test_as_much_as_may_be_stored(bench: Bench) -> None:
    text = "ü" * 131_000
    python(bench, "import json, sys; print(json.dumps(json.load(sys.stdin)['args']['text']))")
    assert ended(bench, {"text": text}).result == text


def test_it_is_not_there(bench: Bench) -> None:
    program(bench, ("/no/such/program",), "program")
    assert error_of(ended(bench)) == ("AGENT_ERROR", "CannotStart")


# --- how it lives -----------------------------------------------------------------------------


def test_it_is_given_no_secrets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET", "hunter2")
    python(bench, "import json, os; print(json.dumps(dict(os.environ)))", env={"OWN": "1"})
    seen = ended(bench).result
    assert seen.pop("OWN") == "1"
    assert seen.keys() <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}


def test_it_is_given_no_open_files(bench: Bench) -> None:
    python(bench, "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")
    assert ended(bench).result == [0, 1, 2]


def test_its_memory_is_bounded(bench: Bench) -> None:
    python(bench, "x = bytearray(2 ** 30); print(1)", memory_limit=512 * 2**20)
    one = ended(bench)
    assert error_of(one) == ("AGENT_ERROR", "ProgramFailed")
    assert "MemoryError" in (one.error or {})["stderr"]


def test_it_does_not_read(bench: Bench) -> None:
    shell(bench, "exec <&-; echo 1")
    assert ended(bench, {"text": "x" * 200_000}).result == 1


def test_a_child_keeps_its_pipes(bench: Bench, tmp_path: Path) -> None:
    """The end of a program is its own end, not that of everybody who can write to its pipe."""
    shell(bench, f"sleep 600 & echo $! > {tmp_path}/pid; echo 1")
    began = time.monotonic()
    assert ended(bench).result == 1
    assert time.monotonic() - began < 5
    gone(pid_in(tmp_path / "pid"))


def test_it_lingers_after_its_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.runtimes.dialogue.LAST_WORDS", 0.1)
    shell(bench, """trap '' TERM; echo '{"type": "result", "value": 1}'; sleep 600""", grace=0.1)
    assert ended(bench).result == 1


# --- how it is stopped ------------------------------------------------------------------------

DEAF = "trap '' TERM; sleep 600 & echo $! $$ > {0}/pid; wait; wait; wait"


@pytest.mark.parametrize("script", ["echo $$ > {0}/pid; sleep 600", DEAF])
def test_told_to_stop(bench: Bench, tmp_path: Path, script: str) -> None:
    """Politely first, then not; with all it has started."""
    shell(bench, script.format(tmp_path), grace=0.2)
    with under_way(bench) as one:
        pids = [pid_in(tmp_path / "pid")]
        pids += map(int, (tmp_path / "pid").read_text().split())
        stop(bench, one, StopReason.TIMEOUT)
    gone(*pids)
    row = bench.row(one)
    assert (row.state, row.reason) == (State.FAILED, Reason.TIMEOUT)


def test_it_may_tidy_up(bench: Bench, tmp_path: Path) -> None:
    script = f"trap 'echo tidy > {tmp_path}/tidy; exit 0' TERM; echo $$ > {tmp_path}/pid; "
    shell(bench, script + "while :; do sleep 0.05; done")
    with under_way(bench) as one:
        pid_in(tmp_path / "pid")
        stop(bench, one, StopReason.WORKER_STOPPED)
    assert (tmp_path / "tidy").exists()
    row = bench.row(one)
    assert (row.state, row.reason, row.failures) == (State.QUEUED, Reason.WORKER_STOPPED, 0)


def test_somebody_kills_it(bench: Bench, tmp_path: Path) -> None:
    shell(bench, f"echo $$ > {tmp_path}/pid; sleep 600; echo 1")
    with under_way(bench) as one:
        os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
    assert error_of(bench.row(one)) == ("AGENT_ERROR", "ProgramKilled")

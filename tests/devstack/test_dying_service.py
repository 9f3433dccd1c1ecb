"""Danger: a part of the stack dies and nobody notices, or it is started again for ever."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import redis

from orchestrator.devstack import ServiceFailed, Stack, StackOptions
from orchestrator.devstack.process import Command
from orchestrator.devstack.service import Service
from orchestrator.devstack.supervisor import Supervisor
from tests.support.waiting import is_gone, wait_until

_LIVES = "import signal; print('I live', flush=True); signal.pause()"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_LIVES}"
_DIES = "print('out of luck'); raise SystemExit(3)"
_DIES_WHEN_READY = f"print('I live', flush=True); {_DIES}"


class Program(Service):
    """A Python one-liner; it is ready when it has said so."""

    def __init__(self, name: str, code: str, folder: Path, grace_s: float = 10.0) -> None:
        super().__init__(name)
        argv = (sys.executable, "-c", code)
        log = folder / f"{name}.log"
        self._what = Command(name=name, argv=argv, log=log, folder=folder, grace_s=grace_s)

    def _command(self) -> Command:
        return self._what

    def _answers(self) -> bool:
        return "I live" in self._launched.said()


class Diary:
    """All events of a supervisor."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, detail: str) -> None:
        self.lines.append(f"{name}: {detail}")

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def test_services_stop_in_the_reverse_order_of_their_start(folder: Path) -> None:
    diary = Diary()
    supervisor = Supervisor(diary)
    workers = [Program(name, _LIVES, folder) for name in ("worker-1", "worker-2")]
    supervisor.start(workers, [Program("beat", _LIVES, folder)])
    supervisor.start([Program("flower", _LIVES, folder)])
    supervisor.stop()
    assert diary.lines == [
        "worker-1: ready",
        "worker-2: ready",
        "beat: ready",
        "flower: ready",
        "flower: stopping",
        "beat: stopping",
        "worker-1: stopping",
        "worker-2: stopping",
    ]


def test_one_that_ends_at_its_start_is_shown_with_its_last_words(folder: Path) -> None:
    healthy, dead = Program("healthy", _LIVES, folder), Program("dead", _DIES, folder)
    supervisor = Supervisor(Diary())
    with pytest.raises(ServiceFailed) as failed:
        supervisor.start([healthy, dead])
    supervisor.stop()
    assert failed.value.service == "dead"
    assert "exit code 3" in str(failed.value)
    assert "out of luck" in str(failed.value)
    assert not healthy.alive


def test_one_that_is_killed_is_started_again(folder: Path) -> None:
    diary, service = Diary(), Program("worker", _LIVES, folder)
    supervisor = Supervisor(diary)
    supervisor.start([service])
    supervisor.watch()
    first = service.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: diary.lines.count("worker: ready") == 2, "it is ready again")
    assert diary.has("ended (exit code -9)")
    assert service.pid != first
    supervisor.stop()
    assert not service.alive


def test_one_that_keeps_dying_is_given_up(folder: Path) -> None:
    diary = Diary()
    supervisor = Supervisor(diary)
    supervisor.start([Program("healthy", _LIVES, folder)])
    hopeless = Program("hopeless", _DIES_WHEN_READY, folder)
    hopeless.launch()
    supervisor.adopt(hopeless)
    supervisor.watch()
    with pytest.raises(ServiceFailed, match=r"hopeless ended 5 times .*(\n.*)*out of luck"):
        supervisor.wait()
    assert diary.has("hopeless: given up")
    supervisor.stop()


def test_one_that_will_not_stop_is_stopped_by_force(folder: Path) -> None:
    service = Program("stubborn", _STUBBORN, folder, grace_s=0.1)
    service.start()
    service.stop()
    assert service.poll() == -signal.SIGKILL


def test_a_paused_one_can_be_stopped(folder: Path) -> None:
    service = Program("paused", _LIVES, folder)
    service.start()
    service.pause()
    service.stop()
    assert service.poll() == -signal.SIGTERM


def test_a_killed_one_takes_its_own_children_along(folder: Path) -> None:
    parent = (
        "import subprocess, sys, signal;"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print(child.pid, 'I live', flush=True); signal.pause()"
    )
    service = Program("parent", parent, folder)
    service.start()
    grandchild = int((folder / "parent.log").read_text().split()[0])
    service.kill()
    wait_until(lambda: is_gone(grandchild), "its child has ended")


def test_one_outlives_the_thread_that_asked_for_it(folder: Path) -> None:
    service = Program("worker", _LIVES, folder)
    thread = threading.Thread(target=service.start)
    thread.start()
    thread.join()
    # A death signal of that thread would have been delivered before this one.
    service.send(signal.SIGCONT)
    assert service.alive
    service.stop()
    assert service.poll() == -signal.SIGTERM


def test_a_server_of_a_stack_comes_back_on_the_same_address(folder: Path) -> None:
    diary = Diary()
    bare = StackOptions(folder, workers=0, beat=False, flower=False, migrate=False, durable=False)
    with Stack(bare, on_event=diary) as stack:
        os.kill(stack.pids()["redis"], signal.SIGKILL)
        wait_until(lambda: diary.lines.count("redis: ready") == 2, "it is ready again")
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.ping()


def test_servers_of_yours_are_used_and_none_is_started(folder: Path) -> None:
    yours = StackOptions(
        folder,
        workers=0,
        beat=False,
        flower=False,
        migrate=False,
        redis_url="redis://yours",
        database_url="postgresql://yours",
    )
    with Stack(yours) as stack:
        assert stack.pids() == {}
        assert (stack.redis_url, stack.database_url) == ("redis://yours", "postgresql://yours")

"""`python -m benchmarks.durable.on_celery`: a chord and a chain, with results in Redis."""

from __future__ import annotations

import os
import threading
import time

from celery import Celery, chain, chord, signals

from benchmarks import work
from benchmarks.durable.cases import fresh, taken
from benchmarks.durable.on_command import Case, obey

_URL = os.environ["ORCHESTRATOR_REDIS_URL"]
#: The results have a database of their own.
app = Celery("canvas", broker=_URL, backend=_URL.rpartition("/")[0] + "/9")
app.conf.update(task_default_queue="canvas", broker_connection_retry_on_startup=True)


@app.task(name="end", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
def end(key: str) -> None:
    """The last one."""
    work.tell(key, time.time())


@app.task(name="link")  # type: ignore[untyped-decorator]  # Celery has no types
def link() -> float:
    """One of many."""
    return time.time()


@app.task(name="joined", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
def joined(ended: list[float], key: str, told: str) -> None:
    """What follows a chord."""
    now = time.time()
    if told:
        work.tell(f"{told}:resumed", now - max(ended))
    work.tell(key, now)


def _timed(canvas: object, key: str) -> float:
    began = time.time()
    canvas.apply_async()  # type: ignore[attr-defined]  # Celery has no types
    return taken(work.client(), key) - began


def _chord(size: int, key: str, told: str = "") -> float:
    return _timed(chord([link.s() for _ in range(size)], joined.s(key=key, told=told)), key)


def _flood(size: int) -> float:
    key, began = fresh("c"), time.time()
    for _ in range(size - 1):
        link.apply_async(ignore_result=True)
    end.delay(key)
    return (taken(work.client(), key) - began) / size


def _chain(size: int, key: str) -> float:
    return _timed(chain(*(link.si() for _ in range(size - 1)), end.si(key)), key)


def cases() -> dict[str, Case]:
    """What Celery can express: no step, no wait, no sleep that holds no thread."""

    def noop(size: int, key: str) -> float:
        own = fresh("c")
        return _timed(end.si(own), own)

    return {
        "noop": noop,
        "child": lambda size, key: _chord(1, fresh("c"), key),
        "flood": lambda size, key: _flood(size),
        "fan": lambda size, key: _chord(size, fresh("c")) / size,
        "chain": lambda size, key: _chain(size, fresh("c")) / size,
    }


@signals.worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
def _ready(**_: object) -> None:
    threading.Thread(target=obey, args=("celery", cases()), daemon=True).start()


if __name__ == "__main__":
    options = ("--without-mingle", "--without-gossip", "--loglevel=WARNING")
    app.worker_main(["worker", "--pool=threads", "--concurrency=64", *options])

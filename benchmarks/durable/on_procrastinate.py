"""`python -m benchmarks.durable.on_procrastinate URL`: the cases it can express.

A job cannot wait for another: a parent is cut in two jobs, and the last child defers the second.
Children are counted in memory, which favours it: only one process runs them.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from collections import Counter
from typing import Any

from benchmarks import work
from benchmarks.durable.cases import fresh, taken
from benchmarks.durable.on_command import obey
from benchmarks.gate import peers

#: Seconds between looks for jobs that no notification told of. Its default is 5, and a chain may
#: need one for a link.
_LOOK = 0.02


def main() -> None:
    """Serve until killed."""
    peers.find()
    library: Any = importlib.import_module("procrastinate")
    url = sys.argv[1]
    app = library.App(connector=library.PsycopgConnector(conninfo=url))
    with library.App(connector=library.SyncPsycopgConnector(conninfo=url)).open() as once:
        once.schema_manager.apply_schema()
    client = library.App(connector=library.SyncPsycopgConnector(conninfo=url))
    cases = _Cases(app, client)
    threading.Thread(target=asyncio.run, args=(_serve(app),), daemon=True).start()
    with client.open():
        obey("procrastinate", cases.all())


async def _serve(app: Any) -> None:
    async with app.open_async():
        await app.run_worker_async(
            concurrency=64, install_signal_handlers=False, fetch_job_polling_interval=_LOOK
        )


class _Cases:
    """Jobs, and how the cases defer them."""

    def __init__(self, app: Any, client: Any) -> None:
        self._client, self._seen = client, Counter[str]()
        for each in (app, client):
            each.task(name="end")(self._end)
            each.task(name="first")(self._first)
            each.task(name="child")(self._child)
            each.task(name="resume")(self._resume)
            each.task(name="link")(self._link)
        self._app = app

    def all(self) -> dict[str, Any]:
        """The cases by their names."""
        return {
            "noop": lambda size, key: self._timed("end", key=fresh("p"), total=1),
            "child": lambda size, key: self._timed("first", key=fresh("p"), told=key),
            "flood": self._flood,
            "fan": self._fan,
            "chain": lambda size, key: self._timed("link", key=fresh("p"), left=size) / size,
        }

    # --- jobs -------------------------------------------------------------------------------

    async def _end(self, key: str, total: int) -> None:
        self._seen[key] += 1
        if self._seen[key] == total:
            work.tell(key, time.time())

    async def _first(self, key: str, told: str) -> None:
        await self._app.configure_task("child").defer_async(key=key, told=told, total=1)

    async def _child(self, key: str, told: str, total: int) -> None:
        self._seen[key] += 1
        if self._seen[key] == total:
            now = time.time()
            await self._app.configure_task("resume").defer_async(key=key, told=told, ended=now)

    async def _resume(self, key: str, told: str, ended: float) -> None:
        now = time.time()
        if told:
            work.tell(f"{told}:resumed", now - ended)
        work.tell(key, now)

    async def _link(self, key: str, left: int) -> None:
        if left > 1:
            await self._app.configure_task("link").defer_async(key=key, left=left - 1)
        else:
            work.tell(key, time.time())

    # --- deferring them ---------------------------------------------------------------------

    def _timed(self, task: str, **args: Any) -> float:
        began = time.time()
        self._client.configure_task(task).defer(**args)
        return taken(work.client(), args["key"]) - began

    def _flood(self, size: int, key: str) -> float:
        return self._many("end", size, {"key": fresh("p"), "total": size})

    def _fan(self, size: int, key: str) -> float:
        return self._many("child", size, {"key": fresh("p"), "told": "", "total": size})

    def _many(self, task: str, size: int, args: dict[str, Any]) -> float:
        began = time.time()
        self._client.configure_task(task).batch_defer(*[args] * size)
        return (taken(work.client(), args["key"]) - began) / size


if __name__ == "__main__":
    main()

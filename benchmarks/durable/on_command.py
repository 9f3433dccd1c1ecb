"""What the programs of the other systems share: they do cases that a list of Redis tells them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from benchmarks import work

#: Answered for what a system cannot express.
NOT_EXPRESSED = -1.0


class Case(Protocol):
    """Does it with a size; answers seconds. More may be told to the list `<key>:resumed`."""

    def __call__(self, size: int, key: str) -> float: ...


def obey(name: str, cases: Mapping[str, Case]) -> None:
    """Do what is told, for ever."""
    Path(os.environ["ORCHESTRATOR_READY_FILE"]).touch()
    client = work.client()
    while True:
        found = cast(tuple[str, str] | None, client.blpop([f"durable:{name}"], timeout=1))
        if found is None:
            continue
        case, size, key = found[1].split()
        try:
            seconds = cases[case](int(size), key) if case in cases else NOT_EXPRESSED
        except Exception:
            traceback.print_exc()
            seconds = NOT_EXPRESSED
        work.tell(key, seconds)

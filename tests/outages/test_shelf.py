"""The files of endings: synced, bounded, private, and of no harm whatever is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.journal import Rewind
from orchestrator.domain.lifecycle import Reason, State
from orchestrator.engine.deps import Deps
from orchestrator.engine.endings import Endings
from orchestrator.engine.execute import Completed, Failed, HandedBack, Outcome
from orchestrator.engine.running import Run
from orchestrator.engine.spawn import spawn
from workers import inheritance, shelf
from workers.shelf import FileShelf, Shelved, abandoned

FAILED = Failed(
    Reason.AGENT_ERROR,
    {"type": "ValueError", "message": "no"},
    kinds=(("builtins.ValueError", "builtins.Exception"), ("other",)),
    rewind=Rewind(3, ("a-child",)),
)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[FileShelf]:
    """The shelf of a worker that lives."""
    kept = FileShelf(tmp_path, "one@here")
    yield kept
    kept.close()


@pytest.fixture
def run(deps: Deps) -> Run:
    """An attempt that is under way."""
    return begun(deps)


def begun(deps: Deps) -> Run:
    instance = deps.store.begin(spawn(deps, SpawnRequest("add", {"a": 1})), 1, "one@here")
    assert instance is not None
    return Run(instance)


def found(folder: Path) -> list[Shelved] | None:
    [path] = folder.glob("*.jsonl")
    with abandoned(path) as endings:
        return endings


@pytest.mark.parametrize("outcome", [Completed('{"a": "é"}'), FAILED], ids=["result", "failure"])
def test_what_is_put_is_found_again_once(
    kept: FileShelf, run: Run, tmp_path: Path, outcome: Outcome
) -> None:
    assert kept.put(run, outcome)
    assert kept.put(run, outcome)
    kept.close()
    assert found(tmp_path) == [Shelved(run.id, 1, outcome)]
    assert list(tmp_path.iterdir()) == []


def test_it_is_nobody_elses_while_the_worker_lives(
    kept: FileShelf, run: Run, tmp_path: Path
) -> None:
    kept.put(run, Completed("1"))
    assert found(tmp_path) is None
    [path] = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_not_found(kept: FileShelf, deps: Deps, tmp_path: Path) -> None:
    first, second = begun(deps), begun(deps)
    kept.put(first, Completed("1"))
    kept.put(second, Completed("2"))
    kept.take_off(first)
    kept.close()
    assert found(tmp_path) == [Shelved(second.id, 1, Completed("2"))]


def test_an_empty_shelf_leaves_no_file(kept: FileShelf, run: Run, tmp_path: Path) -> None:
    kept.put(run, Completed("1"))
    kept.take_off(run)
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_later_leaves_nothing(kept: FileShelf, run: Run, tmp_path: Path) -> None:
    kept.put(run, Completed("1"))
    kept.take_off(run)
    [path] = tmp_path.iterdir()
    assert path.read_bytes() == b""


def test_what_can_be_done_again_is_not_kept(kept: FileShelf, run: Run, tmp_path: Path) -> None:
    assert not kept.put(run, HandedBack(Reason.PAUSED, 0.0))
    assert list(tmp_path.iterdir()) == []


def test_it_is_bounded(
    kept: FileShelf, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shelf, "MOST_BYTES", 10)
    assert not kept.put(run, Completed('"longer than ten"'))


def test_half_a_line_does_not_hide_the_others(kept: FileShelf, run: Run, tmp_path: Path) -> None:
    kept.put(run, Completed("1"))
    kept.close()
    [path] = tmp_path.iterdir()
    path.write_bytes(b'{"of": "another version"}\n' + path.read_bytes() + b'{"id": "x", "att')
    assert found(tmp_path) == [Shelved(run.id, 1, Completed("1"))]


def test_the_next_worker_settles_it(kept: FileShelf, deps: Deps, run: Run, tmp_path: Path) -> None:
    kept.put(run, Completed("1"))
    kept.close()
    assert inheritance.run_once(deps, tmp_path) == (1, 0)
    row = deps.store.get(run.id)
    assert row is not None
    assert (row.state, row.result) == (State.COMPLETED, 1)


def test_somebody_who_has_taken_over_decides(
    kept: FileShelf, deps: Deps, run: Run, tmp_path: Path
) -> None:
    kept.put(run, Completed("1"))
    kept.close()
    deps.store.expire(run.id, 1)
    assert inheritance.run_once(deps, tmp_path) == (0, 1)
    row = deps.store.get(run.id)
    assert row is not None
    assert row.state is State.QUEUED
    assert list(tmp_path.iterdir()) == []


def test_it_stays_while_postgresql_is_away(
    kept: FileShelf, deps: Deps, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.put(run, Completed("1"))
    kept.close()

    def away(_id: str) -> None:
        raise StoreUnavailable("STORE_UNAVAILABLE", "away")

    monkeypatch.setattr(deps.store, "get", away)
    with pytest.raises(StoreUnavailable):
        inheritance.run_once(deps, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


class TestClosing:
    """A process that ends insists no more, and keeps what it has."""

    def test_what_is_being_written_is_shelved(
        self, kept: FileShelf, run: Run, tmp_path: Path
    ) -> None:
        endings = Endings(kept)
        with endings.writing(run, Completed("1")):
            endings.close()
        kept.close()
        assert found(tmp_path) == [Shelved(run.id, 1, Completed("1"))]

    def test_nobody_tries_again(self, kept: FileShelf, run: Run) -> None:
        endings, tries = Endings(kept), []

        def away() -> None:
            tries.append(1)
            if len(tries) == 2:
                endings.close()
            raise StoreUnavailable("STORE_UNAVAILABLE", "away")

        with endings.writing(run, Completed("1")):
            endings.write(run, away)
        assert len(tries) == 2

    def test_what_cannot_be_kept_is_an_error(self, run: Run) -> None:
        endings = Endings()
        endings.close()

        def away() -> None:
            raise StoreUnavailable("STORE_UNAVAILABLE", "away")

        with pytest.raises(StoreUnavailable), endings.writing(run, Completed("1")):
            endings.write(run, away)

"""Danger: a command talks to a stack that is long gone, or tells its passwords to others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.config.stack_file import StackFile, birth


@pytest.fixture
def written() -> StackFile:
    return StackFile.of_this_process("redis://r", "postgresql://p", "http://f")


def test_it_is_read_as_it_was_written(tmp_path: Path, written: StackFile) -> None:
    written.write(tmp_path)
    assert StackFile.read(tmp_path) == written


def test_only_its_owner_can_read_it(tmp_path: Path, written: StackFile) -> None:
    written.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_it_does_not_show_passwords_in_a_log(written: StackFile) -> None:
    assert "://" not in repr(written)


def test_no_file_means_no_stack(tmp_path: Path) -> None:
    assert StackFile.read(tmp_path) is None
    assert StackFile.read(tmp_path / "missing") is None


def test_a_removed_file_means_no_stack(tmp_path: Path, written: StackFile) -> None:
    written.write(tmp_path)
    StackFile.remove(tmp_path)
    StackFile.remove(tmp_path)
    assert StackFile.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"redis_url": 1, "unknown": 2}'])
def test_a_file_of_another_kind_means_no_stack(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    assert StackFile.read(tmp_path) is None


def test_a_writer_that_has_ended_means_no_stack(tmp_path: Path, written: StackFile) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    replace(written, supervisor_pid=process.pid).write(tmp_path)
    assert StackFile.read(tmp_path) is None


def test_a_writer_that_nobody_has_buried_means_no_stack(tmp_path: Path, written: StackFile) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        born = birth(process.pid)
        assert born is not None
        replace(written, supervisor_pid=process.pid, supervisor_birth=born).write(tmp_path)
        assert StackFile.read(tmp_path) is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert StackFile.read(tmp_path) is None


def test_another_process_with_the_same_id_means_no_stack(
    tmp_path: Path, written: StackFile
) -> None:
    replace(written, supervisor_birth="1").write(tmp_path)
    assert StackFile.read(tmp_path) is None

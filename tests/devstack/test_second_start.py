"""Danger: two stacks on one folder write over each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from orchestrator.config.stack_file import StackFile
from orchestrator.devstack import AlreadyRunning, EmbeddedServers, Stack, StackOptions


def _bare(folder: Path) -> StackOptions:
    return StackOptions(folder, workers=0, beat=False, flower=False, migrate=False, durable=False)


def test_a_second_stack_is_refused_and_names_the_first(folder: Path) -> None:
    with Stack(_bare(folder)) as first:
        second = Stack(_bare(folder))
        with pytest.raises(AlreadyRunning) as refused:
            second.start()
        assert refused.value.pid == os.getpid()
        assert refused.value.code == "ALREADY_RUNNING"
        assert f"kill {os.getpid()}" in str(refused.value)
        with redis.Redis.from_url(first.redis_url) as client:
            assert client.ping()
        assert StackFile.read(folder) is not None


def test_servers_of_a_running_stack_cannot_be_started_again(folder: Path) -> None:
    with Stack(_bare(folder)), pytest.raises(AlreadyRunning):
        EmbeddedServers(folder, durable=False).start()


def test_the_folder_is_free_after_the_stop(folder: Path) -> None:
    for _ in range(2):
        with Stack(_bare(folder)) as stack:
            assert set(stack.pids()) == {"redis", "postgres"}

"""Danger: the first program a reader copies does not run.

Each page with marked blocks is done from top to bottom, as its reader would, in a folder that
looks like a clone: files are written, a worker and a beat run, programs and commands are run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.settings import Settings
from orchestrator.devstack import EmbeddedServers, scratch_folder
from orchestrator.store import migrate
from tests.docs.pages import ROOT, Block, blocks, name_of, pages
from tests.support.processes import Programs, programs

RUN = [page for page in pages() if any("run" in block.marks for block in blocks(page))]

#: Commands of one page share their variables, as in one terminal.
_TERMINAL = """\
set -eu
[ -f .variables ] && . ./.variables
trap 'printf "id=%s\\n" "${id-}" > .variables' EXIT
"""


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    """Durable ones: `orchestrator doctor` finds fault with any others."""
    with scratch_folder() as folder, EmbeddedServers(folder, durable=True) as running:
        migrate.upgrade(running.database_url)
        yield running


@pytest.fixture
def located(servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings for these servers, also in the environment, where programs find them."""
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", servers.redis_url)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", servers.database_url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Settings.load()


@pytest.fixture
def start(located: Settings, tmp_path: Path) -> Iterator[Programs]:
    """Starts workers and beats in the folder of the test."""
    with programs(located, tmp_path) as running:
        yield running


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_can_be_followed(page: Path, start: Programs, tmp_path: Path) -> None:
    found = blocks(page)
    look_like_a_clone(tmp_path)
    agents = write_files(found, tmp_path)
    assert agents, "a page that runs something brings agents"
    start.beat()
    start.worker(*(word for name in agents[1:] for word in ("--agents", name)), agents=agents[0])
    said = ""
    for block in found:
        if "run" in block.marks:
            said = run(block, tmp_path)
        if "output" in block.marks:
            assert said.strip().endswith(block.text.strip())


@pytest.mark.parametrize(
    ("module", "ends"),
    [
        ("examples.hello", "Hello, world!"),
        ("examples.research", "not readable: rumours"),
        ("examples.support_desk", "900.00 were refunded."),
        ("examples.market", "1000 units: nobody of 3 bidders"),
    ],
)
def test_an_example_runs(start: Programs, tmp_path: Path, module: str, ends: str) -> None:
    start.worker(agents=module)
    start.beat()
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(ends + "\n")


def test_there_are_pages_that_run() -> None:
    assert {page.name for page in RUN} >= {"tutorial.md", "spawn-in-your-transaction.md"}


def look_like_a_clone(folder: Path) -> None:
    """Give the folder the programs that a set-up environment has."""
    programs_folder = folder / ".venv" / "bin"
    programs_folder.mkdir(parents=True)
    (programs_folder / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
    for name, words in (("orchestrator", "-m orchestrator.cli"), ("python", "")):
        command = programs_folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)


def write_files(found: list[Block], folder: Path) -> list[str]:
    """Write what the blocks say; answers the modules that have agents in them."""
    for block in found:
        if name := block.marks.get("file"):
            (folder / name).write_text(block.text)
        elif name := block.marks.get("append"):
            with (folder / name).open("a") as file:
                file.write("\n\n" + block.text)
    files = sorted(folder.glob("*.py"))
    return [path.stem for path in files if re.search(r"^@?\w*agent\(", path.read_text(), re.M)]


def run(block: Block, folder: Path) -> str:
    """Run a block and answer what it printed."""
    if block.language == "sh":
        command = ["bash", "-c", _TERMINAL + block.text]
    else:
        command = [sys.executable, block.marks["file"]]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(block.marks["run"] or 0), done.stdout + done.stderr
    return done.stdout

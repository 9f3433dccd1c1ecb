"""Danger: it runs here, and not on the machine of the next person."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestrator", "workers", "migrations")


@pytest.fixture(scope="module")
def lock() -> str:
    return (ROOT / "requirements.lock").read_text()


def _name(requirement: str) -> str:
    """The bare name of a requirement: `psycopg` of `psycopg[binary,pool]>=3.2`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found.group().lower().replace("_", "-")


def test_the_lock_names_no_address(lock: str) -> None:
    assert "://" not in lock
    assert " @ " not in lock


def test_everything_in_the_lock_has_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=[a-z])", lock)
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_holds_all_that_the_package_asks_for(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    locked = {_name(line) for line in lock.splitlines() if re.match(r"[a-z]", line)}
    assert {_name(one) for one in wanted} <= locked


def test_a_production_install_carries_no_embedded_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    embedded = {_name(one) for one in project["optional-dependencies"]["embedded"]}
    assert embedded.isdisjoint({_name(one) for one in project["dependencies"]})


def test_the_wheel_carries_every_file_of_the_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(path.endswith(".lua") for path in ours)
    assert ours <= carried

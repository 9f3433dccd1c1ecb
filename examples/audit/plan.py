"""What an audit will do: the folders of a code base and the batches of files in each.

Agents that run again must spawn the same children, so everything here is sorted and depends
only on what is on disk. The same plan tells the progress bar how much there is to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

#: No folder has more `audit.files` agents than this; larger folders get larger batches.
MAX_BATCHES = 64
_SKIPPED = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class Listing:
    """Paths relative to the source, and those that cannot be worked on."""

    paths: tuple[str, ...]
    #: Printable forms of names that are not UTF-8, and of folders that cannot be opened.
    refused: tuple[str, ...] = ()


def folders(source: Path) -> Listing:
    """Every folder below `source` (itself is ``"."``) that holds Python files, large ones first:
    what is begun last should be small, so that nothing is left to wait for alone at the end.

    Hidden folders, caches and virtual environments are left out; links are not followed.
    """
    sizes: dict[str, int] = {}
    refused: list[str] = []

    def refuse(error: OSError) -> None:
        refused.append(_relative(Path(error.filename), source))

    for place, below, names in os.walk(source, onerror=refuse):
        below[:] = sorted(name for name in below if _is_source(Path(place, name)))
        if size := sum(name.endswith(".py") for name in names):
            sizes[_relative(Path(place), source)] = size
    listing = _listing(list(sizes), refused)
    return replace(listing, paths=tuple(sorted(listing.paths, key=lambda p: (-sizes[p], p))))


def files_of(source: Path, folder: str) -> Listing:
    """The Python files directly in one folder."""
    place = source / folder
    files = (path for path in place.iterdir() if path.suffix == ".py" and path.is_file())
    return _listing([_relative(path, source) for path in files], [])


def batches(paths: tuple[str, ...]) -> list[list[str]]:
    """The files in batches of one, or of more where there would be over `MAX_BATCHES`."""
    size = -(-len(paths) // MAX_BATCHES) or 1
    return [list(paths[start : start + size]) for start in range(0, len(paths), size)]


def expected(source: Path) -> dict[str, int]:
    """Number of instances below each folder's agent, itself and its review included."""
    counts = {}
    for folder in folders(source).paths:
        counts[folder] = 2 + len(batches(files_of(source, folder).paths))
    return counts


def _is_source(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _SKIPPED
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _relative(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()


def _listing(found: list[str], refused: list[str]) -> Listing:
    """File systems allow names that are no text; JSON does not, so those are refused."""
    paths = sorted(path for path in found if path.isprintable())
    unusable = refused + [path for path in found if not path.isprintable()]
    return Listing(tuple(paths), tuple(sorted(map(_shown, unusable))))


def _shown(path: str) -> str:
    return path.encode("unicode_escape").decode("ascii")

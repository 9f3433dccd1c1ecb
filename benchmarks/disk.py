"""A place on a real disk: durability costs nothing in memory, and would be measured as nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

_IN_MEMORY = {"tmpfs", "ramfs"}
_MOUNTS = Path("/proc/self/mounts")


def real_disk() -> Path:
    """The first of the usual folders for temporary files that lies on a disk."""
    candidates = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]
    return next((one for one in candidates if one.is_dir() and not in_memory(one)), candidates[-1])


def in_memory(folder: Path) -> bool:
    """Whether the folder lies in a file system in memory; false where there is no /proc."""
    if not _MOUNTS.exists():
        return False
    lines = [line.split() for line in _MOUNTS.read_text().splitlines()]
    kinds = {point: kind for _, point, kind, *_ in lines}
    real = folder.resolve()
    return next(
        (kinds[str(p)] in _IN_MEMORY for p in (real, *real.parents) if str(p) in kinds), False
    )

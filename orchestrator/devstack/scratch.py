"""A folder for servers that are thrown away."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")

#: Two fresh servers take 60 MB; the rest is for what is written to them.
_ENOUGH_BYTES = 512 * 2**20


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder, in memory where there is room; it is gone afterwards.

    Other users may enter it (not list it): as root, PostgreSQL runs as one of them.
    """
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    base = _MEMORY if in_memory else None
    with tempfile.TemporaryDirectory(prefix="orchestrator-", dir=base) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder

"""Files that can be made again, kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """A folder of the user's for one kind of file, made if need be."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sparkweave", name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def forget_old(folder: Path, *, kept: int) -> None:
    """Removes all but the newest files of a folder."""
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime)
    for path in files[:-kept]:
        path.unlink(missing_ok=True)

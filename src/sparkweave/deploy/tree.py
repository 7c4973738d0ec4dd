"""A folder in which an environment is put together.

Installed and large files in it are links, so that gigabytes aren't copied, written and freed again; nobody edits those. Nothing is
written to in place: what is changed becomes a copy first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path

_LARGE = 1 << 20
_INSTALLED = tuple(Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))


class Tree:
    """Files under one folder, and whose they are.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.owners: dict[str, str] = {}
        """Of each file, by its place under the root: the package it belongs to."""

    def path(self, place: str) -> Path:
        """Where a file is, or would be."""
        return self.root / place

    def add(self, source: Path, place: str, owner: str) -> None:
        """Adds a file as it is."""
        target = self._prepare(place, owner)
        source = source.resolve()  # of a symbolic link, its content counts
        if any(source.is_relative_to(prefix) for prefix in _INSTALLED) or source.stat().st_size >= _LARGE:
            with contextlib.suppress(OSError):  # on another disk, or one that has no such links
                os.link(source, target)
                return
        _copy(source, target)

    def write(self, place: str, content: bytes, owner: str) -> None:
        """Adds a file with this content."""
        self._prepare(place, owner).write_bytes(content)

    def link(self, place: str, target: str, owner: str) -> None:
        """Adds a symbolic link; ``target`` is relative to its folder."""
        self._prepare(place, owner).symlink_to(target)

    def own(self, place: str) -> Path:
        """The file, as a copy of its own that may be written to."""
        path = self.path(place)
        copy = path.with_name(path.name + ".copy")
        _copy(path, copy)
        copy.replace(path)
        return path

    def remove(self, place: str) -> None:
        """Takes a file out."""
        self.path(place).unlink()
        del self.owners[place]

    def places(self) -> list[str]:
        """All files, sorted."""
        return sorted(self.owners)

    def sizes(self) -> dict[str, int]:
        """Bytes of each package, the largest first; a link counts nothing."""
        sizes: dict[str, int] = {}
        for place, owner in self.owners.items():
            sizes[owner] = sizes.get(owner, 0) + (
                0 if self.path(place).is_symlink() else self.path(place).stat().st_size
            )
        return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))

    def _prepare(self, place: str, owner: str) -> Path:
        if not self.root.is_dir():  # removed, after an interrupt
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root))
        target = self.path(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(
            FileNotFoundError
        ):  # two packages with one file: the last one wins, as it does for pip
            target.unlink()
        self.owners[place] = owner
        return target


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)

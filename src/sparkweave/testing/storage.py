"""Disks that fail on demand, to pass to whatever saves (`LocalStorage` is what they replace)."""

from __future__ import annotations

import errno
import os

from sparkweave.artifacts.storage import LocalStorage


class Crash(BaseException):
    """The process ends here: nothing that would run afterwards does."""


class CrashingStorage(LocalStorage):
    """Dies at the ``step``-th change of the disk (from 0), half-way through it; every later change is refused too.

    With ``step`` None it only counts them.
    """

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self.steps = 0

    def _dies(self) -> bool:
        self.steps += 1
        if self.step is not None and self.steps > self.step + 1:
            raise Crash
        return self.step is not None and self.steps == self.step + 1

    def make_folder(self, path: str) -> None:
        """Counted."""
        if self._dies():
            raise Crash
        super().make_folder(path)

    def write(self, path: str, content: bytes) -> None:
        """Counted; a crash leaves half of the content."""
        if self._dies():
            with open(path, "xb") as file:
                file.write(content[: len(content) // 2])
            raise Crash
        super().write(path, content)

    def rename(self, source: str, target: str) -> None:
        """Counted."""
        if self._dies():
            raise Crash
        super().rename(source, target)

    def sync_folder(self, path: str) -> None:
        """Counted."""
        if self._dies():
            raise Crash
        super().sync_folder(path)

    def remove(self, path: str) -> None:
        """Counted; a crash leaves half of the files."""
        if self._dies():
            for name in self.list(path)[::2]:
                os.unlink(os.path.join(path, name))
            raise Crash
        super().remove(path)


class FullStorage(LocalStorage):
    """A disk with ``room`` bytes left: a write beyond them stops short with ENOSPC."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, path: str, content: bytes) -> None:
        """As far as there is room."""
        super().write(path, content[: self.room])
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class RefusingStorage(LocalStorage):
    """Refuses the ``step``-th rename (from 0) once with EIO, and works otherwise."""

    def __init__(self, step: int) -> None:
        self.step = step

    def rename(self, source: str, target: str) -> None:
        """Unless it is the one to refuse."""
        self.step -= 1
        if self.step == -1:
            raise OSError(errno.EIO, os.strerror(errno.EIO), target)
        super().rename(source, target)

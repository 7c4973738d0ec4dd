"""Storages that fail on demand, to pass to whatever saves; each wraps a real one, the local disk by default."""

from __future__ import annotations

import errno
import os

from sparkweave.artifacts.storage import LOCAL, Kind, Storage


class Crash(BaseException):
    """The process ends here: nothing that would run afterwards does."""


class WrappedStorage:
    """Does what ``inner`` does."""

    def __init__(self, inner: Storage = LOCAL) -> None:
        self.inner = inner

    def resolve(self, url: str) -> str:
        """As inside."""
        return self.inner.resolve(url)

    def kind(self, path: str) -> Kind | None:
        """As inside."""
        return self.inner.kind(path)

    def list(self, folder: str) -> list[str]:
        """As inside."""
        return self.inner.list(folder)

    def read(self, path: str, *, limit: int) -> bytes:
        """As inside."""
        return self.inner.read(path, limit=limit)

    def tail(self, path: str, length: int) -> bytes:
        """As inside."""
        return self.inner.tail(path, length)

    def make_folder(self, path: str) -> None:
        """As inside."""
        self.inner.make_folder(path)

    def write(self, path: str, content: bytes) -> None:
        """As inside."""
        self.inner.write(path, content)

    def rename(self, source: str, target: str) -> None:
        """As inside."""
        self.inner.rename(source, target)

    def sync_folder(self, path: str) -> None:
        """As inside."""
        self.inner.sync_folder(path)

    def remove(self, path: str) -> None:
        """As inside."""
        self.inner.remove(path)

    def remove_empty(self, folder: str) -> None:
        """As inside."""
        self.inner.remove_empty(folder)


class CrashingStorage(WrappedStorage):
    """Dies at the ``step``-th change (from 0), half-way through it; every later change is refused too.

    With ``step`` None it only counts them.
    """

    def __init__(self, step: int | None = None, inner: Storage = LOCAL) -> None:
        super().__init__(inner)
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
            super().write(path, content[: len(content) // 2])
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
                super().remove(os.path.join(path, name))
            raise Crash
        super().remove(path)


class FullStorage(WrappedStorage):
    """A disk with ``room`` bytes left: a write beyond them stops short with ENOSPC."""

    def __init__(self, room: int, inner: Storage = LOCAL) -> None:
        super().__init__(inner)
        self.room = room

    def write(self, path: str, content: bytes) -> None:
        """As far as there is room."""
        super().write(path, content[: self.room])
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class RefusingStorage(WrappedStorage):
    """Refuses the ``step``-th rename (from 0) once with EIO, and works otherwise."""

    def __init__(self, step: int, inner: Storage = LOCAL) -> None:
        super().__init__(inner)
        self.step = step

    def rename(self, source: str, target: str) -> None:
        """Unless it is the one to refuse."""
        self.step -= 1
        if self.step == -1:
            raise OSError(errno.EIO, os.strerror(errno.EIO), target)
        super().rename(source, target)

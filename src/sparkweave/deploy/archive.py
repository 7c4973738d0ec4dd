"""A tar.gz with the same bytes for the same files: sorted, without times and owners, compressed by all cores.

The stream is cut into pieces of a fixed size, each a gzip member of its own; one after another they are one gzip file, for
``tar``, Java and Python alike.
"""

from __future__ import annotations

import collections
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

LEVEL = 2
"""Measured on torch: level 1 is no faster and 3 % larger, 4 takes 1.4 times as long and is 6 % smaller, 6 three times and 10 %."""

_PIECE = 4 << 20
_TIME = 315_532_800  # 1980-01-01, the first that a ZIP file can hold, should one be made of it


def write_archive(file: IO[bytes], root: Path, places: Iterable[str], *, level: int = LEVEL) -> None:
    """Writes the files at ``places`` under ``root``, in this order."""
    with _Gzip(file, level) as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for place in places:
            _add(archive, root / place, place)


def digest(root: Path, places: Iterable[str]) -> str:
    """SHA-256 over the names, the modes and the contents of the files, in hexadecimal digits."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        lines = pool.map(lambda place: _describe(root / place, place), sorted(places))
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _describe(path: Path, place: str) -> str:
    if path.is_symlink():
        return f"{place}\0->{path.readlink()}\n"
    with path.open("rb") as file:
        return f"{place}\0{_mode(path):o}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n"


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _add(archive: tarfile.TarFile, path: Path, place: str) -> None:
    info = tarfile.TarInfo(place)
    info.mtime = _TIME
    if path.is_symlink():
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(info)
        return
    info.mode = _mode(path)
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        archive.addfile(info, file)


class _Gzip(io.RawIOBase):
    """Compresses what is written to it with all cores; a few pieces are in memory at a time."""

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._file, self._level = file, level
        self._pending = bytearray()
        workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(workers)
        self._ahead = 2 * workers
        self._running: collections.deque[Future[bytes]] = collections.deque()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pending += data
        while len(self._pending) >= _PIECE:
            self._submit(bytes(self._pending[:_PIECE]))
            del self._pending[:_PIECE]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            try:
                if self._pending:
                    self._submit(bytes(self._pending))
                while self._running:
                    self._file.write(self._running.popleft().result())
            finally:
                self._pool.shutdown(cancel_futures=True)
                super().close()

    def _submit(self, piece: bytes) -> None:
        self._running.append(self._pool.submit(_member, piece, self._level))
        while len(self._running) > self._ahead:
            self._file.write(self._running.popleft().result())


def _member(piece: bytes, level: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)  # with a gzip header, whose time is 0
    return compressor.compress(piece) + compressor.flush()

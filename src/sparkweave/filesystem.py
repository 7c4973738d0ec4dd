"""Where archives are read from: a protocol of three methods, and the local disk.

A file system that answers here can be read in ranges by any task, so that one archive is shared between many tasks. For
URLs without one, Spark's own readers are used (one task an archive).
"""

from __future__ import annotations

import glob
import os
import re
from typing import Protocol

from sparkweave.errors import DataError

ARCHIVE_ENDING = ".zip"

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_FILE_PREFIX = re.compile(r"^file:(//(localhost)?(?=/))?", re.IGNORECASE)


class FileSystem(Protocol):
    """Reads byte ranges of files, from the driver and from any task."""

    def size(self, path: str) -> int:
        """The file's length in bytes.

        Raises:
            OSError: if there is no such file, or it can't be read.
        """

    def read(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on; fewer only where the file ends.

        Raises:
            OSError: if there is no such file, or it can't be read.
        """

    def expand(self, pattern: str) -> list[str]:
        """The archives that a path, a folder or a glob stands for: full paths, sorted, never empty.

        Raises:
            DataError: if there are none.
        """


class LocalFileSystem:
    """The disk of the machine that runs the task (with several machines: a folder that all of them mount)."""

    def size(self, path: str) -> int:
        """See `FileSystem.size`."""
        return os.stat(local_path(path)).st_size

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `FileSystem.read`."""
        with open(local_path(path), "rb", buffering=0) as file:
            file.seek(offset)
            content = file.read(length) or b""
            while len(content) < length and (more := file.read(length - len(content))):
                content += more
            return content

    def expand(self, pattern: str) -> list[str]:
        """See `FileSystem.expand`."""
        path = local_path(pattern)
        found = [path] if os.path.exists(path) else glob.glob(path, recursive=True)
        archives = {os.path.abspath(file) for match in found for file in _archives_at(match)}
        if archives:
            return sorted(archives)
        if found:
            raise DataError(f"{pattern}: no file here ends in {ARCHIVE_ENDING}; images are read from ZIP archives")
        raise DataError(
            f"{pattern}: nothing is found here; give ZIP archives, folders of them, or globs such as 'data/*.zip'"
        )


def filesystem_for(url: str) -> FileSystem | None:
    """The file system that reads ``url``, or None where only Spark can.

    Paths without a scheme are local, as are ``file:`` URLs.
    """
    scheme = _SCHEME.match(url)
    return LocalFileSystem() if scheme is None or scheme[1].lower() == "file" else None


def local_path(url: str) -> str:
    """A local path or ``file:`` URL as a path; like Hadoop, percent signs are kept as they are.

    >>> local_path("file:///data/train.zip"), local_path("data/train.zip")
    ('/data/train.zip', 'data/train.zip')
    """
    return _FILE_PREFIX.sub("", url)


def _archives_at(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    with os.scandir(path) as entries:
        return [e.path for e in entries if e.name.lower().endswith(ARCHIVE_ENDING) and e.name[0] != "." and e.is_file()]

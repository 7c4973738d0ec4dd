"""Every touch of a file system that saving and loading need: a protocol, and the driver's own disk.

Hadoop's file systems are in `sparkweave.spark.storage`. Tests replace a storage to fail at any step, which is why it is passed
around rather than imported where it is used.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import Literal, Protocol

from sparkweave.errors import ArtifactError
from sparkweave.filesystem import is_local, local_path

Kind = Literal["file", "folder", "other"]


class Storage(Protocol):
    """A file system. Paths are what `resolve` returned, and what `os.path.join` and ``dirname`` make of it.

    Each method raises OSError where the file system refuses.
    """

    def resolve(self, url: str) -> str:
        """The full path that ``url`` stands for.

        Raises:
            ArtifactError: if it is none of this file system, or the root folder.
        """

    def kind(self, path: str) -> Kind | None:
        """What is at ``path``, or None where nothing is; a symbolic link is ``other``."""

    def list(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none where there is no such folder."""

    def read(self, path: str, *, limit: int) -> bytes:
        """A whole file.

        Raises:
            FileNotFoundError: if it does not exist.
            ArtifactError: if it is no regular file (a link, a pipe), or longer than ``limit`` bytes.
        """

    def tail(self, path: str, length: int) -> bytes:
        """The last ``length`` bytes of a file; all of it where it is shorter."""

    def make_folder(self, path: str) -> None:
        """Creates a folder and those above it; one that exists is left as it is."""

    def write(self, path: str, content: bytes) -> None:
        """Creates a file that must not exist, in a folder that must; on return its content is on the disk.

        Of two at the same time one succeeds; the other gets a FileExistsError.
        """

    def rename(self, source: str, target: str) -> None:
        """Moves in one step. A file replaces a file; a folder at most an empty one, and never goes into another."""

    def sync_folder(self, path: str) -> None:
        """On return the names in a folder are on the disk."""

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all that is in it; nothing there is no error."""

    def remove_empty(self, folder: str) -> None:
        """Removes a folder, if nothing is in it; else that is an error."""


class LocalStorage:
    """The disk of the driver's machine."""

    def resolve(self, url: str) -> str:
        """See `Storage.resolve`; symbolic links on the way are followed."""
        if not is_local(url):
            raise ArtifactError(f"{url}: is not on the local disk; give a path or a file: URL")
        path = os.path.realpath(local_path(url))
        if path == os.path.dirname(path):
            raise ArtifactError(f"{url!r} is the root folder; give a path under it")
        return path

    def kind(self, path: str) -> Kind | None:
        """See `Storage.kind`."""
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str, *, limit: int) -> bytes:
        """See `Storage.read`."""
        # A link could point anywhere, and opening a pipe would wait for its writer.
        if self.kind(path) not in ("file", None):
            raise ArtifactError(f"{path} is not a regular file; links and devices are not followed")
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise ArtifactError(f"{path} has {size:,} bytes where at most {limit:,} belong")
            return file.read(limit)

    def tail(self, path: str, length: int) -> bytes:
        """See `Storage.tail`."""
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - length))
            return file.read(length)

    def make_folder(self, path: str) -> None:
        """See `Storage.make_folder`."""
        os.makedirs(path, exist_ok=True)

    def write(self, path: str, content: bytes) -> None:
        """See `Storage.write`."""
        with open(path, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        os.rename(source, target)

    def sync_folder(self, path: str) -> None:
        """See `Storage.sync_folder`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        """See `Storage.remove`."""
        try:
            if self.kind(path) == "folder":
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass

    def remove_empty(self, folder: str) -> None:
        """See `Storage.remove_empty`."""
        os.rmdir(folder)


LOCAL = LocalStorage()

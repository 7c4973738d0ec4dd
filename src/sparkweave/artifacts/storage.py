"""Every touch of the disk that saving and loading need; another file system takes the same methods.

Tests replace it to fail at any step, which is why it is passed around rather than imported where it is used.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import Literal

from sparkweave.errors import ArtifactError
from sparkweave.filesystem import filesystem_for, local_path

Kind = Literal["file", "folder", "other"]


class LocalStorage:
    """The disk of the driver's machine. Each method raises OSError where the disk refuses."""

    def resolve(self, url: str) -> str:
        """The full path that ``url`` stands for, symbolic links on the way to it followed.

        Raises:
            ArtifactError: if it is not a local path.
        """
        if filesystem_for(url) is None:
            raise ArtifactError(f"{url}: models and checkpoints are kept on the local disk; give a path or a file: URL")
        path = os.path.realpath(local_path(url))
        if path == os.path.dirname(path):
            raise ArtifactError(f"{url!r} is the root folder; give a path under it")
        return path

    def kind(self, path: str) -> Kind | None:
        """What is at ``path``, or None where nothing is; a symbolic link is ``other``."""
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"

    def list(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str, *, limit: int) -> bytes:
        """A whole file.

        Raises:
            ArtifactError: if it is no regular file (a link, a pipe), or longer than ``limit`` bytes.
        """
        # A link could point anywhere, and opening a pipe would wait for its writer.
        if self.kind(path) != "file":
            raise ArtifactError(f"{path} is not a regular file; links and devices are not followed")
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise ArtifactError(f"{path} has {size:,} bytes where at most {limit:,} belong")
            return file.read(limit)

    def tail(self, path: str, length: int) -> bytes:
        """The last ``length`` bytes of a file; all of it where it is shorter."""
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - length))
            return file.read(length)

    def make_folder(self, path: str) -> None:
        """Creates a folder and those above it; one that exists is left as it is."""
        os.makedirs(path, exist_ok=True)

    def write(self, path: str, content: bytes) -> None:
        """Creates a file that must not exist; on return its content is on the disk."""
        with open(path, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: str, target: str) -> None:
        """Moves within a file system in one step. A file replaces a file; a folder at most an empty one."""
        os.rename(source, target)

    def sync_folder(self, path: str) -> None:
        """On return the names in a folder are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all that is in it; nothing there is no error."""
        try:
            if self.kind(path) == "folder":
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass


LOCAL = LocalStorage()

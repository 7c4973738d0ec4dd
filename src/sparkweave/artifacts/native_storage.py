"""Models on HDFS without a JVM: `Storage` through `hdfs_native`, for processes that have no Spark."""

from __future__ import annotations

import errno
import os
import posixpath
import re
from typing import TYPE_CHECKING

from sparkweave.artifacts.storage import Kind
from sparkweave.errors import ArtifactError
from sparkweave.filesystem import hdfs_client, hdfs_errors

if TYPE_CHECKING:
    import hdfs_native

_URL = re.compile(r"(?P<system>[A-Za-z]+://[^/]*)(?P<path>/.*)?|(?P<scheme>[A-Za-z]+:)(?P<rest>/.*)", re.DOTALL)


class NativeStorage:
    """HDFS; paths are full URLs. Settings come from ``HADOOP_CONF_DIR``, the user from ``HADOOP_USER_NAME``."""

    def resolve(self, url: str) -> str:
        """See `Storage.resolve`."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ArtifactError(f"{url}: is no URL of the form hdfs://HOST/PATH; check it")
        system, path = (
            (match["system"], match["path"] or "/") if match["system"] else (f"{match['scheme']}//", match["rest"])
        )
        path = "/" + posixpath.normpath(path).lstrip("/")
        if path == "/":
            raise ArtifactError(f"{url!r} is the root folder; give a path under it")
        return system + path

    def kind(self, path: str) -> Kind | None:
        """See `Storage.kind`."""
        try:
            return "folder" if self._status(path).isdir else "file"
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        if self.kind(folder) != "folder":
            return []
        with hdfs_errors(folder):
            client, name = _open(folder)
            return sorted(posixpath.basename(status.path) for status in client.list_status(name))

    def read(self, path: str, *, limit: int) -> bytes:
        """See `Storage.read`."""
        status = self._status(path)
        if status.isdir:
            raise ArtifactError(f"{path} is not a regular file")
        if status.length > limit:
            raise ArtifactError(f"{path} has {status.length:,} bytes where at most {limit:,} belong")
        return self._range(path, 0, status.length)

    def tail(self, path: str, length: int) -> bytes:
        """See `Storage.tail`."""
        size = self._status(path).length
        return self._range(path, max(0, size - length), min(size, length))

    def make_folder(self, path: str) -> None:
        """See `Storage.make_folder`."""
        if self.kind(path) == "folder":
            return
        with hdfs_errors(path):
            client, name = _open(path)
            client.mkdirs(name, create_parent=True)

    def write(self, path: str, content: bytes) -> None:
        """See `Storage.write`."""
        import hdfs_native

        if self.kind(os.path.dirname(path)) != "folder":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        client, name = _open(path)
        try:
            with hdfs_errors(path):
                file = client.create(name, hdfs_native.WriteOptions(overwrite=False, create_parent=False))
        except OSError as error:
            # One that is there, or that another client has just created and still writes.
            if self.kind(path) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
            raise
        with hdfs_errors(path), file:
            file.write(content)
            if content:
                file.hsync()

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        with hdfs_errors(target):
            client, name = _open(source)
            client.rename(name, _open(target)[1], overwrite=True)

    def sync_folder(self, path: str) -> None:
        """See `Storage.sync_folder`; a NameNode answers when its journal is on the disk."""

    def remove(self, path: str) -> None:
        """See `Storage.remove`."""
        self._delete(path, recursive=True)

    def remove_empty(self, folder: str) -> None:
        """See `Storage.remove_empty`."""
        self._delete(folder, recursive=False)

    def _delete(self, path: str, *, recursive: bool) -> None:
        with hdfs_errors(path):
            client, name = _open(path)
            client.delete(name, recursive=recursive)

    def _status(self, path: str) -> hdfs_native.FileStatus:
        with hdfs_errors(path):
            client, name = _open(path)
            return client.get_file_info(name)

    def _range(self, path: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        with hdfs_errors(path):
            client, name = _open(path)
            return bytes(client.read(name).read_range(offset, length))


def _open(url: str) -> tuple[hdfs_native.Client, str]:
    system, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return hdfs_client(f"{system}{separator}{host}", (), None), slash + path

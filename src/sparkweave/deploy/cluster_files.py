"""The cluster's HDFS as this machine reaches it, through ``HADOOP_CONF_DIR`` and without a JVM: what a submission ships, and reads back."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import os
import posixpath
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sparkweave.deploy.site import has_kerberos
from sparkweave.errors import ConfigError, ResourceError
from sparkweave.filesystem import hdfs_errors, is_archive_name

if TYPE_CHECKING:
    import hdfs_native

_CHUNK_BYTES = 8 << 20


class ClusterFiles:
    """Files under one folder of the cluster's default file system."""

    def __init__(self, folder: str | None = None) -> None:
        """Connects when it is first used; each method raises ResourceError where HDFS can't be reached, or refuses.

        Args:
            folder: An absolute path or ``hdfs://`` URL; by default ``.sparkweave`` in the user's home.

        Raises:
            ConfigError: if it is something else.
        """
        if folder is not None and not folder.startswith(("/", "hdfs://")):
            raise ConfigError(f"--staging-dir is {folder}; give a folder on HDFS: hdfs:///… or an absolute path there")
        self._system, self._asked = split_url(folder or "")

    @functools.cached_property
    def _client(self) -> hdfs_native.Client:
        import hdfs_native

        with _explained():
            return hdfs_native.Client(self._system or None)

    @functools.cached_property
    def _folder(self) -> str:
        return self._asked or f"/user/{self._user()}/.sparkweave"

    def _user(self) -> str:
        """Who this is to HDFS, which with Kerberos makes a name of the ticket's principal by rules of its own."""
        if not has_kerberos():
            return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        own = f"/tmp/.sparkweave-{secrets.token_hex(8)}"  # noqa: S108 - on HDFS
        with _explained():
            self._client.mkdirs(own, create_parent=True)
            try:
                return self._client.get_file_info(own).owner
            finally:
                self._client.delete(own)

    def url(self, path: str) -> str:
        """The URL of ``path``, which is relative to the folder."""
        return self._system_url + posixpath.join(self._folder, path)

    @property
    def _system_url(self) -> str:
        return self._system or "hdfs://"

    def shipped(self, source: Path, folder: str) -> str:
        """Where a local file belongs: in a folder named by its content's hash, below ``folder``; relative, see `url`."""
        return posixpath.join(folder, _digest(source), source.name)

    def ship(self, source: Path, folder: str) -> bool:
        """Uploads a local file to where it belongs, unless it is there; returns whether it had to be."""
        path = self.shipped(source, folder)
        if self.has(path, source.stat().st_size):
            return False
        self.upload(source, path)
        return True

    def has(self, path: str, size: int | None = None) -> bool:
        """Whether there is a file, of ``size`` bytes if that is given."""
        with _explained():
            try:
                found = self._client.get_file_info(self._full(path))
            except FileNotFoundError:
                return False
        return size is None or found.length == size

    def upload(self, source: Path, path: str) -> None:
        """Copies a local file; it appears when it is whole."""
        target = self._full(path)
        partial = f"{target}.{secrets.token_hex(8)}.partial"
        with _explained():
            self._client.mkdirs(posixpath.dirname(target), create_parent=True)
            try:
                with source.open("rb") as file, self._client.create(partial) as writer:
                    while chunk := file.read(_CHUNK_BYTES):
                        writer.write(chunk)
                self._client.rename(partial, target, overwrite=True)
            except BaseException:
                with contextlib.suppress(OSError, RuntimeError):
                    self._client.delete(partial)
                raise

    def read(self, path: str) -> bytes | None:
        """A small file's content, or None where there is none."""
        with _explained():
            try:
                return bytes(self._client.read(self._full(path)).read())
            except FileNotFoundError:
                return None

    def archives(self, pattern: str) -> list[str]:
        """The URLs of the archives that an absolute path, a folder or a glob stands for, sorted; none where there are none."""
        with _explained():
            try:
                found = [self._client.get_file_info(pattern)]
            except FileNotFoundError:
                found = self._client.glob_status(pattern)
            files = [file for status in found for file in self._files_at(status)]
        return sorted(self._system_url + file for file in files)

    def _files_at(self, status: hdfs_native.FileStatus) -> list[str]:
        if not status.isdir:
            return [status.path]
        inside = self._client.list_status(status.path)
        return [file.path for file in inside if not file.isdir and is_archive_name(posixpath.basename(file.path))]

    def remove(self, path: str) -> None:
        """Removes a file or folder; nothing there is no error."""
        with _explained(), contextlib.suppress(FileNotFoundError):
            self._client.delete(self._full(path), recursive=True)

    def forget_old(self, folder: str, *, seconds: float) -> None:
        """Removes what is directly in ``folder`` and has not changed for as long; no such folder is no error."""
        newest = (time.time() - seconds) * 1000
        with _explained(), contextlib.suppress(FileNotFoundError):
            for status in self._client.list_status(self._full(folder)):
                if status.modification_time < newest:
                    self._client.delete(status.path, recursive=True)

    def _full(self, path: str) -> str:
        return posixpath.join(self._folder, path)


def split_url(url: str) -> tuple[str, str]:
    """The file system (empty for the default one) and the path."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "", url
    host, slash, path = rest.partition("/")
    return (f"{scheme}://{host}" if host else ""), slash + path


def _digest(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        with hdfs_errors(""):
            yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"the cluster's HDFS can't be used from here ({getattr(error, 'strerror', None) or error}); does HADOOP_CONF_DIR"
            f" ({os.environ.get('HADOOP_CONF_DIR', 'not set')}) name the cluster's settings, and may you write there?"
            " --staging-dir names another folder"
        ) from error

"""Where archives are read from: a protocol of two methods, the local disk, and HDFS without a JVM.

A file system that answers here can be read in ranges by any task, so that one archive is shared between many tasks. For
URLs without one, Spark's own readers are used (one task an archive).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import glob
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from sparkweave.errors import DataError

if TYPE_CHECKING:
    import hdfs_native

ARCHIVE_ENDING = ".zip"
HDFS_SCHEMES = ("hdfs", "viewfs")
"""What `HdfsFileSystem` reads."""

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_FILE_PREFIX = re.compile(r"^file:(//(localhost)?(?=/))?", re.IGNORECASE)
_HDFS_URL = re.compile(r"([A-Za-z]+://[^/]*)(/.*)", re.DOTALL)
_RPC_ERROR = re.compile(r'RPCError\("(?:[\w.$]+\.)?(?P<kind>\w+)", "(?P<message>.*?)(?:\\n|"\)?$)', re.DOTALL)
NO_TICKET = "the cluster asks for Kerberos, and there is no valid ticket here: run kinit and try again"
_NO_CREDENTIALS = re.compile(r"GSS_S_(NO_CRED|CREDENTIALS_EXPIRED)")
_LONGEST_REASON = 200  # where all DataNodes fail, it is a dump of what is known of them
_USER = "HADOOP_USER_NAME"


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class HdfsFileSystem:
    """HDFS through `hdfs_native`, plain data until it is used: a worker needs neither Java nor Hadoop's files.

    Attributes:
        settings: Hadoop's client settings, as far as `hdfs_native` knows them. Containers have no ``HADOOP_CONF_DIR``,
            so they are read on the driver.
        user: In whose name files are read where HDFS takes a client's word for it; a container may run as another.
    """

    settings: tuple[tuple[str, str], ...] = ()
    user: str | None = None

    def size(self, path: str) -> int:
        """See `FileSystem.size`."""
        with hdfs_errors(path):
            client, name = self._open(path)
            return client.get_file_info(name).length

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `FileSystem.read`."""
        with hdfs_errors(path):
            client, name = self._open(path)
            file = client.read(name)
            length = min(length, len(file) - offset)
            return bytes(file.read_range(offset, length)) if length > 0 else b""

    def _open(self, url: str) -> tuple[hdfs_native.Client, str]:
        match = _HDFS_URL.fullmatch(url)
        if match is None:
            raise OSError(errno.EINVAL, f"not of the form hdfs://HOST/PATH: {url}")
        return hdfs_client(match[1], self.settings, self.user), match[2]


def is_local(url: str) -> bool:
    """Whether ``url`` is a path on this machine's disk.

    >>> is_local("data/train.zip"), is_local("hdfs:///data/train.zip")
    (True, False)
    """
    return _scheme(url) == "file"


def local_path(url: str) -> str:
    """A local path or ``file:`` URL as a path; like Hadoop, percent signs are kept as they are.

    >>> local_path("file:///data/train.zip"), local_path("data/train.zip")
    ('/data/train.zip', 'data/train.zip')
    """
    return _FILE_PREFIX.sub("", url)


def local_archives(pattern: str) -> list[str]:
    """The archives that a local path, folder or glob stands for: full paths, sorted, never empty.

    Raises:
        DataError: if there are none.
    """
    path = local_path(pattern)
    found = [path] if os.path.exists(path) else glob.glob(path, recursive=True)
    archives = sorted({os.path.abspath(file) for match in found for file in _archives_at(match)})
    if not archives:
        raise no_archives(pattern, anything=bool(found))
    return archives


def no_archives(pattern: str, *, anything: bool) -> DataError:
    """The error for a path without archives: is there ``anything`` else?"""
    if anything:
        return DataError(f"{pattern}: no file here ends in {ARCHIVE_ENDING}; images are read from ZIP archives")
    return DataError(
        f"{pattern}: nothing is found here; give ZIP archives, folders of them, or globs such as 'data/*.zip'"
    )


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is taken for an archive when a folder is given."""
    return name.lower().endswith(ARCHIVE_ENDING) and name[0] != "."


def _scheme(url: str) -> str:
    match = _SCHEME.match(url)
    return "file" if match is None else match[1].lower()


def _archives_at(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if is_archive_name(entry.name) and entry.is_file()]


@functools.lru_cache(maxsize=8)
def hdfs_client(url: str, settings: tuple[tuple[str, str], ...], user: str | None) -> hdfs_native.Client:
    """The client for a file system such as ``hdfs://host:port``, the same one each time."""
    import hdfs_native

    if user:
        os.environ.setdefault(_USER, user)
    # Without a host it is the default file system of HADOOP_CONF_DIR.
    return hdfs_native.Client(None if url.endswith("://") else url, dict(settings))


@contextlib.contextmanager
def hdfs_errors(path: str) -> Iterator[None]:
    """What `hdfs_native` raises (the NameNode's message with Java's stack in it, or an error of its own) as an OSError."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except (OSError, RuntimeError) as error:
        if rpc := _RPC_ERROR.match(str(error)):
            number = errno.EACCES if rpc["kind"] == "AccessControlException" else errno.EIO
            raise OSError(number, rpc["message"].replace('\\"', '"'), path) from error
        if _NO_CREDENTIALS.search(str(error)):
            raise OSError(errno.EACCES, NO_TICKET, path) from error
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise OSError(errno.EIO, reason[:_LONGEST_REASON], path) from error

"""Hadoop's file systems, through the JVM of the session: HDFS, and whatever else Hadoop has a connector for.

The JVM knows what the cluster's administrator has set up (nameservices, Kerberos, encryption), so the driver's files go this
way. What a task reads is `sparkweave.filesystem.HdfsFileSystem`'s business.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError, Py4JNetworkError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql.utils import is_remote

from sparkweave.errors import ArtifactError
from sparkweave.filesystem import (
    HDFS_SCHEMES,
    NO_TICKET,
    HdfsFileSystem,
    is_archive_name,
    is_local,
    local_path,
    no_archives,
)

_SETTINGS = (
    "fs.defaultFS",
    "hadoop.security.authentication",
    "dfs.client.use.datanode.hostname",
    "dfs.data.transfer.protection",
)
_SETTING_FAMILIES = (
    "dfs.ha.namenodes.",
    "dfs.namenode.rpc-address.",
    "dfs.client.failover.",
    "fs.viewfs.mounttable.",
)
_ERROR_NUMBERS = {
    "FileNotFoundException": errno.ENOENT,
    "NoSuchFileException": errno.ENOENT,
    "FileAlreadyExistsException": errno.EEXIST,
    "AlreadyBeingCreatedException": errno.EEXIST,
    "ParentNotDirectoryException": errno.ENOTDIR,
    "AccessControlException": errno.EACCES,
    "AccessDeniedException": errno.EACCES,
    "NSQuotaExceededException": errno.EDQUOT,
    "DSQuotaExceededException": errno.EDQUOT,
    "QuotaByStorageTypeExceededException": errno.EDQUOT,
}
_NO_TICKET = re.compile(r"Client cannot authenticate via|Failed to find any Kerberos")
_NO_CONNECTOR = re.compile(r"No FileSystem for scheme|ClassNotFoundException")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file: its full URL, its length in bytes, its time of change in ms, and whether HDFS keeps it encrypted."""

    url: str
    length: int
    modified: int
    encrypted: bool


class Hadoop:
    """The file systems of one JVM."""

    def __init__(self, jvm: Any, conf: Any, master: str = "") -> None:
        """Knows of the JVM; see `of` and `of_gateway`.

        Args:
            jvm: What py4j shows of it.
            conf: Hadoop's configuration in it.
            master: The session's master.
        """
        self.jvm = jvm
        self.conf = conf
        self._master = master

    @classmethod
    def of(cls, context: SparkContext) -> Hadoop:
        """Of a session's JVM, with its settings."""
        return cls(context._jvm, context._jsc.hadoopConfiguration(), str(context.master))

    @classmethod
    def of_gateway(cls) -> Hadoop:
        """Of the JVM that spark-submit started, before there is a session and after it."""
        SparkContext._ensure_initialized()
        jvm: Any = SparkContext._jvm
        return cls(
            jvm, jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(jvm.org.apache.spark.SparkConf())
        )

    @classmethod
    def of_running_session(cls, url: str) -> Hadoop:
        """For ``url``, which needs a session.

        Raises:
            ArtifactError: if none runs, or it has no JVM here.
        """
        if is_remote():
            raise ArtifactError(
                f"{url}: is reached through Spark's JVM, and over Spark Connect there is none here; give a path on the local disk"
            )
        context = SparkContext._active_spark_context
        if context is None or context._jsc is None:
            raise ArtifactError(
                f"{url}: is reached through Spark, and no Spark session runs; start one first (sparkweave.build_session())"
            )
        return cls.of(context)

    def path(self, url: str) -> Any:
        """The Java path of ``url``, in full; without a scheme it is local, as everywhere here.

        Raises:
            OSError: if Hadoop has no such file system.
        """
        if is_local(url):  # the JVM may run in another folder than this process by now
            url = f"file:///{os.path.abspath(local_path(url)).lstrip('/')}"
        with java_errors(url):
            path = self.jvm.org.apache.hadoop.fs.Path(url)
            default = self.jvm.org.apache.hadoop.fs.FileSystem.getDefaultUri(self.conf)
            if path.toUri().getAuthority() is None and path.toUri().getScheme() == default.getScheme():
                # A file system from Hadoop's cache goes by the default of the configuration that it was made with.
                path = path.makeQualified(default, self.jvm.org.apache.hadoop.fs.Path("/"))
            return path.getFileSystem(self.conf).makeQualified(path)

    def archives(self, pattern: str) -> list[FileEntry]:
        """The archives that a URL, a folder or a glob stands for, sorted, never empty.

        Raises:
            DataError: if there are none.
            OSError: if they can't be looked for.
        """
        found = self._statuses(pattern)
        entries = [entry for status in found for entry in self._archives_at(status)]
        if not entries:
            raise no_archives(pattern, anything=bool(found))
        return sorted(entries, key=lambda entry: entry.url)

    def range_reader(self) -> HdfsFileSystem:
        """What reads HDFS in tasks, with what it needs to know of Hadoop's configuration; none of it is secret."""
        settings = {name: value for name in _SETTINGS if (value := self.conf.get(name))}
        for family in _SETTING_FAMILIES:
            settings |= {family + name: value for name, value in dict(self.conf.getPropsWithPrefix(family)).items()}
        user = self.jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getShortUserName()
        return HdfsFileSystem(settings=tuple(sorted(settings.items())), user=user)

    def tasks_can_log_in(self) -> bool:
        """Whether a task can prove to HDFS who it is: with Kerberos only YARN hands it a token, in a file."""
        kerberos = self.conf.get("hadoop.security.authentication", "simple") != "simple"
        return not kerberos or self._master.startswith(("yarn", "local"))

    def _statuses(self, pattern: str) -> list[Any]:
        path = self.path(pattern)
        with java_errors(pattern):
            system = path.getFileSystem(self.conf)
            if system.exists(path):
                return [system.getFileStatus(path)]
            return list(system.globStatus(path) or ())

    def _archives_at(self, status: Any) -> list[FileEntry]:
        if not status.isDirectory():
            return [_entry(status)]
        path = status.getPath()
        with java_errors(path.toString()):
            inside = path.getFileSystem(self.conf).listStatus(path)
        return [_entry(file) for file in inside if file.isFile() and is_archive_name(file.getPath().getName())]


def has_range_reader(url: str) -> bool:
    """Whether `HdfsFileSystem` knows URLs of this scheme."""
    return url.partition("://")[0].lower() in HDFS_SCHEMES


@contextlib.contextmanager
def java_errors(url: str) -> Iterator[None]:
    """What Hadoop raises as an OSError with a number where there is one that fits, and the first line of its message."""
    try:
        yield
    except Py4JJavaError as error:
        cause = error.java_exception
        name, message = cause.getClass().getSimpleName(), cause.getMessage() or cause.toString()
        if name == "RemoteException":
            name = cause.getClassName().rpartition(".")[2]
        raise OSError(_ERROR_NUMBERS.get(name, errno.EIO), _reason(message), url) from error
    except PySparkException as error:  # pyspark's name for Java's IllegalArgumentException
        raise OSError(errno.EINVAL, str(error).splitlines()[0], url) from error
    except (Py4JNetworkError, ConnectionError) as error:
        raise OSError(errno.EIO, "the Spark session has ended", url) from error


def _reason(message: str) -> str:
    """What Hadoop says at first, or what that means for who reads it.

    >>> _reason("DestHost:destPort node1:8020; AccessControlException: Client cannot authenticate via:[TOKEN, KERBEROS]")
    'the cluster asks for Kerberos, and there is no valid ticket here: run kinit and try again'
    """
    if _NO_TICKET.search(message):
        return NO_TICKET
    first = message.splitlines()[0]
    if _NO_CONNECTOR.search(message):
        first += "; Hadoop has no connector for this URL: add its jar to the session (--conf spark.jars.packages=...)"
    return first


def _entry(status: Any) -> FileEntry:
    return FileEntry(
        url=status.getPath().toString(),
        length=status.getLen(),
        modified=status.getModificationTime(),
        encrypted=status.isEncrypted(),
    )

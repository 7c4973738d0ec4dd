"""Decoded images kept as Parquet, for runs to come: they start at the shuffle instead of at the archives."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sparkweave._version import __version__
from sparkweave.errors import ArtifactError, DataError
from sparkweave.filesystem import filesystem_for
from sparkweave.spark.jobs import described


def staged(
    spark: SparkSession,
    read: Callable[[], DataFrame],
    *,
    paths: Sequence[str],
    options: Mapping[str, Any],
    directory: str,
) -> DataFrame:
    """The images of ``read()``, from Parquet files that an earlier run wrote or that are written now.

    Args:
        spark: The session.
        read: Gives the decoded images; called only if they have to be written.
        paths: The archives: their sizes and times of change tell whether the files are still theirs.
        options: What else the decoded images depend on, JSON-ready.
        directory: A folder for such files, on any file system that Spark writes; one sub-folder for each set of images.

    Raises:
        ArtifactError: if they can't be written there.
        DataError: if a path stands for no archive.
    """
    files = _Files(spark)
    target = f"{directory.rstrip('/')}/{_fingerprint(files, paths, options)}"
    if not files.exists(f"{target}/_SUCCESS"):
        partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
        try:
            with described(spark, "exporting the decoded images"):
                read().write.parquet(partial)
            # Another run may have been faster; its files are as good.
            if not files.rename(partial, target) and not files.exists(f"{target}/_SUCCESS"):
                raise ArtifactError(
                    f"{target}: can't be put in place; remove what is there, or choose another --staging-dir"
                )
        finally:
            files.delete(partial)
    return spark.read.parquet(target)


def _fingerprint(files: _Files, paths: Sequence[str], options: Mapping[str, Any]) -> str:
    content = {"files": sorted(entry for path in paths for entry in _status(files, path)), "options": dict(options)}
    text = json.dumps({**content, "version": __version__}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _status(files: _Files, path: str) -> list[tuple[str, int, int]]:
    """Path, bytes and time of change of each archive that ``path`` stands for, found as they are found for reading."""
    local = filesystem_for(path)
    if local is not None:
        stats = [(os.path.realpath(name), os.stat(name)) for name in local.expand(path)]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    found = files.status(path)
    if not found:
        raise DataError(f"{path}: nothing is found here; give ZIP archives, folders of them, or globs")
    return found


class _Files:
    """Hadoop's file systems, as far as staging needs them."""

    def __init__(self, spark: SparkSession) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._conf: Any = spark.sparkContext._jsc.hadoopConfiguration()

    def status(self, pattern: str) -> list[tuple[str, int, int]]:
        """Path, bytes and time of change (ms) of each file that ``pattern`` stands for, or that lies in such a folder."""
        path = self._path(pattern)
        system = path.getFileSystem(self._conf)
        entries = [entry for match in system.globStatus(path) or () for entry in system.listStatus(match.getPath())]
        return [
            (entry.getPath().toString(), entry.getLen(), entry.getModificationTime())
            for entry in entries
            if entry.isFile()
        ]

    def exists(self, name: str) -> bool:
        path = self._path(name)
        return bool(path.getFileSystem(self._conf).exists(path))

    def rename(self, source: str, target: str) -> bool:
        path = self._path(source)
        system = path.getFileSystem(self._conf)
        # A local rename would move the folder into an existing one.
        return not system.exists(self._path(target)) and bool(system.rename(path, self._path(target)))

    def delete(self, name: str) -> None:
        path = self._path(name)
        path.getFileSystem(self._conf).delete(path, True)

    def _path(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(name)

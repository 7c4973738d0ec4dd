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
from sparkweave.errors import ArtifactError
from sparkweave.filesystem import is_local, local_archives
from sparkweave.spark.archive_paths import list_archives
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.jobs import described
from sparkweave.spark.storage import AS_WRITTEN, DONE, HadoopStorage


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
    hadoop = Hadoop.of(spark.sparkContext)
    storage = HadoopStorage(hadoop)
    target = storage.resolve(f"{directory.rstrip('/')}/{_fingerprint(hadoop, paths, options)}")
    try:
        if storage.kind(f"{target}/{DONE}") is None:
            _export(spark, read, target, storage)
    except OSError as error:
        # Another run may have been faster; its files are as good.
        if storage.kind(f"{target}/{DONE}") is None:
            raise ArtifactError(
                f"{target}: can't be put in place ({error.strerror or error}); remove what is there, or choose another"
                " --staging-dir"
            ) from error
    with described(spark, "looking at the exported images"):
        return spark.read.options(**AS_WRITTEN).parquet(target)


def _export(spark: SparkSession, read: Callable[[], DataFrame], target: str, storage: HadoopStorage) -> None:
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with described(spark, "exporting the decoded images"):
            read().write.parquet(partial)
        storage.rename(partial, target)  # refused where another run's files are
    finally:
        storage.remove(partial)


def _fingerprint(hadoop: Hadoop, paths: Sequence[str], options: Mapping[str, Any]) -> str:
    content = {"files": sorted(entry for path in paths for entry in _status(hadoop, path)), "options": dict(options)}
    text = json.dumps({**content, "version": __version__}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _status(hadoop: Hadoop, path: str) -> list[tuple[str, int, int]]:
    """Path, bytes and time of change of each archive that ``path`` stands for."""
    if is_local(path):
        stats = [(os.path.realpath(name), os.stat(name)) for name in local_archives(path)]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return [(entry.url, entry.length, entry.modified) for entry in list_archives(hadoop, path)]

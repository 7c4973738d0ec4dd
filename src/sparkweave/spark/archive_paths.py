"""What the paths of a run stand for, and who reads it: tasks in ranges (local disks, HDFS), or Spark's JVM."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence

from pyspark.sql import SparkSession

from sparkweave.errors import DataError
from sparkweave.filesystem import FileSystem, HdfsFileSystem, LocalFileSystem, is_local, local_archives
from sparkweave.spark.hadoop import FileEntry, Hadoop, has_range_reader

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundArchives:
    """Archives by who reads them.

    Attributes:
        in_ranges: File systems, each with the full paths of its archives.
        by_spark: Paths as they were given, which only Spark reads.
    """

    in_ranges: Sequence[tuple[FileSystem, list[str]]] = ()
    by_spark: Sequence[str] = ()


def find_archives(spark: SparkSession, paths: Iterable[str]) -> FoundArchives:
    """Looks for the archives that paths, folders and globs stand for, and who can read them.

    Raises:
        DataError: if a path stands for none.
    """
    wanted = list(paths)
    local = sorted({archive for path in wanted if is_local(path) for archive in local_archives(path)})
    found: list[tuple[FileSystem, list[str]]] = [(LocalFileSystem(), local)] if local else []
    remote = [path for path in wanted if not is_local(path)]
    if not remote:  # asking the JVM what HDFS needs takes a quarter of a second
        return FoundArchives(in_ranges=found)
    hadoop = Hadoop.of(spark.sparkContext)
    hdfs = hadoop.range_reader()
    in_ranges: set[str] = set()
    by_spark = []
    for path in remote:
        archives = list_archives(hadoop, path)
        if has_range_reader(path) and _can_be_shared(hadoop, hdfs, archives):
            in_ranges.update(archive.url for archive in archives)
        else:
            by_spark.append(path)
    if in_ranges:
        found.append((hdfs, sorted(in_ranges)))
    return FoundArchives(in_ranges=found, by_spark=by_spark)


def list_archives(hadoop: Hadoop, path: str) -> list[FileEntry]:
    """As `Hadoop.archives`, but what the file system refuses is a DataError too."""
    try:
        return hadoop.archives(path)
    except OSError as error:
        raise DataError(f"{path}: can't be looked for ({error.strerror or error}); check the URL") from error


def _can_be_shared(hadoop: Hadoop, hdfs: HdfsFileSystem, archives: Sequence[FileEntry]) -> bool:
    """Whether tasks can read ranges of these; tried on the driver, since the JVM can do more than `hdfs_native`."""
    if any(archive.encrypted for archive in archives) or not hadoop.tasks_can_log_in():
        return False
    try:
        hdfs.read(archives[0].url, 0, 1)
    except OSError as error:
        _LOG.warning("%s: left to Spark to read, with one task an archive (%s)", archives[0].url, error.strerror)
        return False
    return True

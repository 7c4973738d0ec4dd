"""Archives of labelled images as a DataFrame of decoded images.

Where byte ranges can be read (local disks, HDFS), the driver reads the central directories, and many tasks share one
archive: each reads, checks and decodes its own slice. Elsewhere Spark's JVM reads: one task unpacks an archive, and its
entries are spread over all tasks by a shuffle on their path before they are decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweave.config import require_at_least, require_choice
from sparkweave.data.archive import ArchiveLimits
from sparkweave.data.image_rows import BATCH_BYTES, DecodeOptions, decode_entries, decode_rows, usable_rows
from sparkweave.data.images import use_one_thread
from sparkweave.data.splits import MIN_SPLIT_BYTES, ArchiveSplit, Entry, plan_splits, read_split
from sparkweave.errors import ConfigError, DataError
from sparkweave.filesystem import FileSystem, local_path, no_archives
from sparkweave.spark.archive_paths import FoundArchives, find_archives
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.jobs import described
from sparkweave.spark.python_worker import freeze_imports
from sparkweave.spark.runtime import refuse_connect
from sparkweave.training.allocator import keep_freed_memory

IMAGE_COLUMNS = (
    "path string, label string, image struct<height: int, width: int, channels: int, data: binary>, error string"
)
READERS = ("auto", "ranges", "spark")

ENTRY_COLUMNS = "path string, content binary, error string"
_ARCHIVE_READER = "spark.sql.files.archive.reader.enabled"
# Enough tasks for each slot that a slow one at the end costs little.
_SPLITS_PER_SLOT = 3


def read_image_archives(
    spark: SparkSession,
    paths: str | Sequence[str],
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    labelled: bool = True,
    splits: int | None = None,
    limits: ArchiveLimits | None = None,
    reader: str = "auto",
) -> DataFrame:
    """Reads ZIP archives of PNG and JPEG images named ``LABEL_ANYTHING.png``.

    Nothing is decoded before an action. An entry that can't be used is a row with a null ``image`` and the reason in
    ``error``: the caller decides how many of those are borne. Folders, dot files and ``__MACOSX`` are passed over.

    Args:
        spark: The session to read with.
        paths: Archives, folders of archives or globs; local paths or any URL that Spark reads.
        image_size: (height, width) to resize all images to; None keeps their sizes.
        channels: 1 (gray) or 3 (RGB); None keeps gray images gray.
        labelled: Whether an image whose name has no label is an error; otherwise its ``label`` is null.
        splits: About how many tasks to read with; by default three a slot, fewer for little data.
        limits: What an archive may hold.
        reader: ``ranges`` reads byte ranges in many tasks, ``spark`` leaves the reading to Spark's JVM, ``auto`` takes
            ``ranges`` where it can. Through ``spark``, one damaged or encrypted entry fails the job.

    Returns:
        Columns ``path`` (``<archive>!/<entry>``), ``label``, ``image`` (height, width, channels and ``data``: uint8,
        rows first, channels last) and ``error``.

    Raises:
        ConfigError: if an option breaks its rule.
        DataError: if a path stands for no archive.
        ArchiveError: if an archive as a whole can't be used.
        ResourceError: if the session is one of Spark Connect's.
    """
    refuse_connect(spark, "read_image_archives", "give TorchClassifier a column of encoded images (binary) instead")
    require_choice("reader", reader, READERS)
    if splits is not None:
        require_at_least("splits", splits, 1)
    limits = limits or ArchiveLimits()
    height, width = image_size or (None, None)
    options = DecodeOptions(height=height, width=width, channels=channels, limits=limits, labelled=labelled)
    wanted = [paths] if isinstance(paths, str) else list(paths)
    if not wanted or not all(wanted):
        raise DataError(f"paths is {paths!r}; give at least one ZIP archive, folder or glob")
    found = FoundArchives(by_spark=wanted) if reader == "spark" else find_archives(spark, wanted)
    if found.by_spark and reader == "ranges":
        raise ConfigError(f"{found.by_spark[0]}: can't be read in ranges; leave reader at 'auto'")
    parts = []
    for fs, plan in _plans(spark, found, splits, limits):
        task = bound(decode_splits, fs=fs, splits=plan, options=options)
        parts.append(map_batches(_indexes(spark, plan), task, IMAGE_COLUMNS))
    if found.by_spark:
        spread = _read_by_spark(spark, found.by_spark, limits).repartition(splits or _default_splits(spark), "path")
        parts.append(map_batches(spread, bound(decode_contents, options=options), IMAGE_COLUMNS))
    return functools.reduce(DataFrame.unionAll, parts)


def read_archive_entries(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    """The entries of ZIP archives as they are: ``path`` as `read_image_archives` gives it, ``content``, or the reason in ``error``.

    Raises:
        DataError: if a path stands for no archive.
        ArchiveError: if an archive as a whole can't be used.
    """
    limits = ArchiveLimits()
    found = find_archives(spark, paths)
    parts = []
    for fs, plan in _plans(spark, found, None, limits):
        task = bound(copy_splits, fs=fs, splits=plan, limits=limits)
        parts.append(map_batches(_indexes(spark, plan), task, ENTRY_COLUMNS))
    if found.by_spark:
        rows = _read_by_spark(spark, found.by_spark, limits)
        parts.append(map_batches(rows, bound(unpack_archives, limits=limits), ENTRY_COLUMNS))
    return functools.reduce(DataFrame.unionAll, parts)


def decode_splits(
    batches: Iterable[pa.RecordBatch], *, fs: FileSystem, splits: Sequence[ArchiveSplit], options: DecodeOptions
) -> Iterator[pa.RecordBatch]:
    """Task: reads and decodes the splits whose indexes arrive."""
    _prepare()
    for batch in batches:
        for index in batch.column(0).to_numpy():
            split = splits[index]
            entries = read_split(fs, split, options.limits)
            yield from decode_entries(split.path, entries, options)


def copy_splits(
    batches: Iterable[pa.RecordBatch], *, fs: FileSystem, splits: Sequence[ArchiveSplit], limits: ArchiveLimits
) -> Iterator[pa.RecordBatch]:
    """Task: reads the splits whose indexes arrive, and leaves the entries as they are."""
    chosen = (splits[index] for batch in batches for index in batch.column(0).to_numpy())
    return _entry_batches(
        (f"{split.path}!/{name}", content, reason)
        for split in chosen
        for name, content, reason in read_split(fs, split, limits)
    )


def unpack_archives(batches: Iterable[pa.RecordBatch], *, limits: ArchiveLimits) -> Iterator[pa.RecordBatch]:
    """Task: opens whole archives that arrive as rows of ``path`` and ``content``; entries go through as they are."""
    return _entry_batches(_unpacked(batches, limits))


def decode_contents(batches: Iterable[pa.RecordBatch], *, options: DecodeOptions) -> Iterator[pa.RecordBatch]:
    """Task: decodes rows of ``path``, ``content`` and, where it is known already, ``error``."""
    _prepare()
    return decode_rows(usable_rows(_unpacked(batches, options.limits)), options)


def _plans(
    spark: SparkSession, found: FoundArchives, splits: int | None, limits: ArchiveLimits
) -> Iterator[tuple[FileSystem, list[ArchiveSplit]]]:
    """The splits of the archives that tasks read in ranges."""
    count, min_bytes = splits or _default_splits(spark), 1 if splits else MIN_SPLIT_BYTES
    for fs, archives in found.in_ranges:
        yield fs, plan_splits(fs, archives, count=count, min_bytes=min_bytes, limits=limits)


def _indexes(spark: SparkSession, plan: Sequence[ArchiveSplit]) -> DataFrame:
    """One row a partition; `createDataFrame` and `repartition` would give some tasks two splits and some none."""
    return spark.range(0, len(plan), 1, numPartitions=len(plan))


def _read_by_spark(spark: SparkSession, paths: Sequence[str], limits: ArchiveLimits) -> DataFrame:
    unpacks_itself = _enable_archive_reader(spark)
    try:
        with described(spark, "looking for archives"):
            files = (
                spark.read.format("binaryFile")
                .option("wholeFile", "false")
                .option("pathGlobFilter", "*.[zZ][iI][pP]")
                .load(list(paths))
            )
            found = files.inputFiles()
    except AnalysisException as error:
        raise DataError(
            f"{', '.join(paths)}: {error.getMessage() or error}; give ZIP archives, folders of them, or globs"
        ) from error
    if not found:
        raise no_archives(", ".join(paths), anything=True)
    rows = files.select("path", "content", F.lit(None).cast("string").alias("error"))
    return rows if unpacks_itself else rows.mapInArrow(bound(unpack_archives, limits=limits), ENTRY_COLUMNS)


def _enable_archive_reader(spark: SparkSession) -> bool:
    """Whether Spark gives one row an entry (4.3 and later); otherwise it gives one row an archive."""
    if not spark.conf.isModifiable(_ARCHIVE_READER):
        return False
    spark.conf.set(_ARCHIVE_READER, "true")
    return True


def _prepare() -> None:
    """Makes this Python worker one that reads: OpenCV on one thread, freed memory kept, imports frozen."""
    use_one_thread()
    keep_freed_memory()
    freeze_imports()


def _default_splits(spark: SparkSession) -> int:
    return _SPLITS_PER_SLOT * spark.sparkContext.defaultParallelism


def _unpacked(batches: Iterable[pa.RecordBatch], limits: ArchiveLimits) -> Iterator[Entry]:
    for batch in batches:
        paths, contents, errors = (batch.column(name) for name in ("path", "content", "error"))
        for path, content, error in zip(paths, contents, errors, strict=True):
            url = local_path(path.as_py())
            if "!/" in url:
                yield url, content.as_py(), error.as_py()
            else:
                yield from _open_archive(url, content.as_buffer(), limits)


def _open_archive(url: str, content: pa.Buffer, limits: ArchiveLimits) -> Iterator[Entry]:
    fs = _InMemory(content)
    for split in plan_splits(fs, [url], limits=limits):
        for name, data, reason in read_split(fs, split, limits):
            yield f"{url}!/{name}", data, reason


def _entry_batches(entries: Iterable[Entry]) -> Iterator[pa.RecordBatch]:
    rows: list[Entry] = []
    size = 0
    for entry in entries:
        rows.append(entry)
        size += len(entry[1] or b"")
        if size >= BATCH_BYTES:
            yield _entry_batch(rows)
            rows, size = [], 0
    if rows:
        yield _entry_batch(rows)


def _entry_batch(rows: list[Entry]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, (pa.string(), pa.binary(), pa.string()), strict=True)],
        names=["path", "content", "error"],
    )


class _InMemory:
    """One archive that arrived as bytes."""

    def __init__(self, content: pa.Buffer) -> None:
        self._content = content

    def size(self, path: str) -> int:
        return self._content.size

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self._content.slice(offset, min(length, self._content.size - offset)).to_pybytes()

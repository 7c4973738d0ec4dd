"""A folder into which images and ZIP archives are dropped, as a stream: each file once, in the batch that Spark's log says.

Spark's file source finds new files and keeps a log of them, which says what a batch consists of. What is in them is read in ranges, as
archives are read elsewhere. A file that can't be used is a row with the reason in ``error``: a stream does not end because of it.

What is not the file's own fault ends it: a disk or a DataNode that fails for a while. Spark tries the task again, and a stream that is
started again runs the batch again. A local file is gone where the driver doesn't find it: a task that doesn't may be on a machine that has
not mounted the folder, so it fails. (An empty folder in the place of a mount that the driver lost can't be told from one that was emptied.)
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from sparkweave.artifacts.storage import Storage
from sparkweave.data.archive import IMAGE_ENDINGS, ArchiveLimits, is_image
from sparkweave.data.image_rows import DecodeOptions, decode_rows
from sparkweave.data.images import use_one_thread
from sparkweave.data.splits import ArchiveSplit, Entry, plan_splits, read_split
from sparkweave.errors import ConfigError, DataError, ResourceError
from sparkweave.filesystem import FileSystem, LocalFileSystem, is_archive_name, is_local, local_path
from sparkweave.spark.archives import IMAGE_COLUMNS
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.hadoop import Hadoop, has_range_reader
from sparkweave.spark.streaming.file_log import files_of_batch

if TYPE_CHECKING:
    from sparkweave.spark.model import TrainedModel

_COLUMNS = "path string, modificationTime timestamp, length long, content binary"
_FILES_A_PIECE = 64
# Files keep their times when they are moved, and none may be passed over because another is newer.
_ANY_AGE = "36500d"
_UNUSABLE = (IsADirectoryError, PermissionError)
_GONE = (FileNotFoundError, NotADirectoryError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """What is read in one go: single images, a part of an archive, or what is known already to be unusable.

    Attributes:
        files: Paths of images.
        split: A part of an archive.
        refused: Paths, each with the reason.
    """

    files: tuple[str, ...] = ()
    split: ArchiveSplit | None = None
    refused: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DroppedFiles:
    """The folder at ``url``, with those below it.

    Attributes:
        url: A local folder, or one on HDFS.
        checkpoint: Spark's, as ``storage`` resolved it.
        storage: Where the checkpoint is.
        max_files: Most files of one batch.
    """

    url: str
    checkpoint: str
    storage: Storage
    max_files: int = 1000

    def stream(self, spark: SparkSession) -> DataFrame:
        """A stream of paths.

        Raises:
            ConfigError: if tasks can't read ranges there.
        """
        _file_system(spark, self.url)
        reader = spark.readStream.format("binaryFile").schema(_COLUMNS)
        options = {"recursiveFileLookup": "true", "maxFilesPerTrigger": str(self.max_files), "maxFileAge": _ANY_AGE}
        url = f"file://{local_path(self.url)}" if is_local(self.url) else self.url
        return reader.options(**options).load(url).select("path")

    def predictions(self, batch: DataFrame, batch_id: int, model: TrainedModel) -> DataFrame:
        """See `Source.predictions`.

        Raises:
            ResourceError: if the folder is not there any more, or an archive can't be read for now.
        """
        if is_local(self.url) and not os.path.isdir(folder := local_path(self.url)):
            raise _for_now(folder, "it is no folder on this machine any more")
        channels, height, width = model.image_shape
        options = DecodeOptions(height=height, width=width, channels=channels, labelled=False)
        paths = files_of_batch(self.checkpoint, batch_id, self.storage)
        return model.transform(read_files(batch.sparkSession, paths, options)).drop("label")


def read_files(spark: SparkSession, paths: Iterable[str], options: DecodeOptions) -> DataFrame:
    """The images in files and archives, as `read_image_archives` returns them; a file that can't be used is a row with ``error``.

    Raises:
        ResourceError: if an archive can't be read for now; from tasks, if that holds for what they read.
    """
    names = sorted({local_path(path) for path in paths})
    fs = _file_system(spark, names[0] if names else "")
    pieces = plan_pieces(fs, names, options.limits, tasks=spark.sparkContext.defaultParallelism)
    indexes = spark.range(0, len(pieces), 1, numPartitions=max(1, len(pieces)))
    return map_batches(indexes, bound(read_pieces, fs=fs, pieces=pieces, options=options), IMAGE_COLUMNS)


def plan_pieces(fs: FileSystem, paths: Sequence[str], limits: ArchiveLimits, *, tasks: int) -> list[Piece]:
    """What tasks read; an archive that can't be used as a whole is refused alone.

    Raises:
        ResourceError: if an archive can't be read for now.
    """
    refused = [(path, _not_ours()) for path in paths if not is_image(path) and not _is_archive(path)]
    refused += [(path, reason) for path in filter(is_image, paths) if (reason := _gone(fs, path))]
    known = {path for path, _reason in refused}
    images = [path for path in paths if is_image(path) and path not in known]
    size = max(1, min(_FILES_A_PIECE, -(-len(images) // tasks)))
    pieces = [Piece(files=tuple(images[at : at + size])) for at in range(0, len(images), size)]
    for path in filter(_is_archive, paths):
        try:
            pieces += [Piece(split=split) for split in plan_splits(fs, [path], count=tasks, limits=limits)]
        except (DataError, OSError) as error:
            refused.append((path, _reason(path, error, (*_UNUSABLE, *_GONE))))
    return [*pieces, Piece(refused=tuple(refused))] if refused else pieces


def read_pieces(
    batches: Iterable[pa.RecordBatch], *, fs: FileSystem, pieces: Sequence[Piece], options: DecodeOptions
) -> Iterator[pa.RecordBatch]:
    """Task: reads and decodes the pieces whose indexes arrive."""
    use_one_thread()
    for batch in batches:
        for index in batch.column(0).to_numpy():
            yield from decode_rows(_entries(fs, pieces[index], options.limits), options)


def _entries(fs: FileSystem, piece: Piece, limits: ArchiveLimits) -> Iterator[Entry]:
    for path in piece.files:
        yield _read_image(fs, path, limits)
    if piece.split is not None:
        yield from _read_split(fs, piece.split, limits)
    for path, reason in piece.refused:
        yield path, None, reason


def _read_image(fs: FileSystem, path: str, limits: ArchiveLimits) -> Entry:
    try:
        size = fs.size(path)
        if size > limits.max_entry_bytes:
            return path, None, f"it has {size:,} bytes; at most {limits.max_entry_bytes:,} are read"
        return path, fs.read(path, 0, size), None
    except OSError as error:
        return path, None, _reason(path, error, _faults_in_tasks(fs))


def _read_split(fs: FileSystem, split: ArchiveSplit, limits: ArchiveLimits) -> Iterator[Entry]:
    try:
        for name, content, reason in read_split(fs, split, limits):
            yield f"{split.path}!/{name}", content, reason
    except (DataError, OSError) as error:  # it changed, or went, since it was planned
        yield split.path, None, _reason(split.path, error, _faults_in_tasks(fs))


def _is_archive(path: str) -> bool:
    return is_archive_name(path.rpartition("/")[2])


def _not_ours() -> str:
    return f"its name ends in none of {', '.join((*IMAGE_ENDINGS, '.zip'))}; images and ZIP archives are read"


def _gone(fs: FileSystem, path: str) -> str | None:
    """On the driver: why tasks need not look for an image; of HDFS the NameNode tells them the same."""
    try:
        if isinstance(fs, LocalFileSystem):
            fs.size(path)
    except _GONE as error:
        return _reason(path, error, _GONE)
    except OSError:
        pass  # they find out more, and are tried again
    return None


def _faults_in_tasks(fs: FileSystem) -> tuple[type[OSError], ...]:
    return _UNUSABLE if isinstance(fs, LocalFileSystem) else (*_UNUSABLE, *_GONE)


def _reason(path: str, error: DataError | OSError, faults: tuple[type[OSError], ...]) -> str:
    """Why an input can't be used, if it is at fault itself: by what it holds, or by one of ``faults``.

    Raises:
        ResourceError: if it may be readable the next time.
    """
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, OSError) and not isinstance(cause, faults):
        raise _for_now(path, cause.strerror or str(cause)) from error
    return f"it can't be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def _for_now(path: str, reason: str) -> ResourceError:
    return ResourceError(
        f"{path}: can't be read on {socket.gethostname()} ({reason}); every machine that runs tasks needs this path. Start the stream again"
        " once they can read it, or it is removed: this batch is run again"
    )


def _file_system(spark: SparkSession, url: str) -> FileSystem:
    if is_local(url):
        return LocalFileSystem()
    hadoop = Hadoop.of(spark.sparkContext)
    if not has_range_reader(url) or not hadoop.tasks_can_log_in():
        raise ConfigError(
            f"{url}: tasks can't read ranges of files there; a stream's files are on a shared disk or HDFS"
        )
    return hadoop.range_reader()

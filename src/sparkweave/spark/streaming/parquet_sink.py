"""Predictions of a stream as Parquet: a folder a batch, whole or not there, replaced where the batch runs again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from sparkweave.artifacts import swap
from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError
from sparkweave.spark.predictions import Written


class ParquetSink:
    """Writes ``OUTPUT/batch_id=N``, which Spark reads as a column.

    Args:
        output: The folder, as ``storage`` resolved it.
        storage: A Hadoop file system, since Spark writes there.
    """

    def __init__(self, output: str, storage: Storage) -> None:
        self._output, self._storage = output, storage

    def write(self, batch_id: int, rows: DataFrame) -> Written:
        """Puts a batch in its place.

        Raises:
            ArtifactError: if the file system refuses.
        """
        counts = Observation(f"batch {batch_id}")
        counted = rows.observe(counts, F.count(F.lit(1)).alias("images"), F.count("error").alias("bad"))
        target = os.path.join(self._output, f"batch_id={batch_id}")
        with _explained(target):
            swap.repair(target, self._storage)
            with swap.replacing(target, self._storage) as folder:
                counted.write.parquet(folder)
        return Written(images=counts.get["images"], bad_images=counts.get["bad"])

    def close(self) -> None:
        """Nothing is kept open."""


@contextlib.contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{target} was not written: {error.strerror or error}; check the path and its free space"
        ) from error

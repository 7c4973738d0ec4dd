"""Predictions on disk: Parquet or CSV, written beside the target and renamed when they are whole.

Everything goes through Hadoop's file systems, so local paths and ``hdfs://`` behave alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweave.errors import ArtifactError, DataError
from sparkweave.filesystem import filesystem_for, local_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DONE = "_SUCCESS"
_LISTED = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """How many rows were written, and how many of them say only why there is no prediction."""

    images: int
    bad_images: int


def check_output(spark: SparkSession, url: str, *, overwrite: bool) -> None:
    """Tells before the work whether something at ``url`` is in the way.

    Raises:
        ArtifactError: if there is something and ``overwrite`` is false, or it is not what Spark wrote.
    """
    files, path = _hadoop(spark, url)
    if not files.exists(path):
        return
    if not overwrite:
        raise ArtifactError(f"{url} already exists; choose another path, or replace it (--overwrite)")
    if not files.exists(_child(spark, path, _DONE)):
        raise ArtifactError(f"{url} exists and was not written by Spark, so it is not replaced; choose another path")


def write_predictions(
    predictions: DataFrame,
    url: str,
    *,
    file_format: str,
    labels: Sequence[str],
    overwrite: bool = False,
    max_bad_fraction: float = 0.0,
) -> Written:
    """Writes ``path``, ``prediction``, the probabilities and ``error``.

    Args:
        predictions: What `TrainedModel.transform` returned.
        url: The folder that Spark writes.
        file_format: ``parquet`` (``probability`` is an array, in the order of ``labels``) or ``csv`` (a column a label,
            ``probability_<label>``).
        labels: The model's labels.
        overwrite: Whether predictions that are already there are replaced.
        max_bad_fraction: Share of rows without a prediction that is borne.

    Raises:
        ArtifactError: if something is in the way.
        DataError: if more images can't be used than ``max_bad_fraction`` allows; nothing is left at ``url``.
    """
    spark = predictions.sparkSession
    check_output(spark, url, overwrite=overwrite)
    counts = Observation("predictions")
    counted = predictions.observe(counts, F.count(F.lit(1)).alias("images"), F.count("error").alias("bad"))
    with _renamed_when_whole(spark, url) as folder:
        writer = _columns(counted, file_format, labels).write
        writer.csv(folder, header=True) if file_format == "csv" else writer.parquet(folder)
        written = Written(images=counts.get["images"], bad_images=counts.get["bad"])
        if written.bad_images > max_bad_fraction * written.images:
            raise DataError(_too_many(spark, folder, file_format, written, max_bad_fraction))
    return written


def _columns(predictions: DataFrame, file_format: str, labels: Sequence[str]) -> DataFrame:
    if file_format == "parquet":
        return predictions.select("path", "prediction", "probability", "error")
    each = [F.col("probability").getItem(index).alias(f"probability_{label}") for index, label in enumerate(labels)]
    return predictions.select("path", "prediction", *each, "error")


def _too_many(spark: SparkSession, folder: str, file_format: str, written: Written, allowed: float) -> str:
    reader = spark.read.option("header", "true")
    rows = (
        reader.format(file_format)
        .load(folder)
        .where("error is not null")
        .select("path", "error")
        .limit(_LISTED)
        .collect()
    )
    listed = "\n".join(f"  {row.path}: {row.error}" for row in rows)
    more = written.bad_images - len(rows)
    return (
        f"{written.bad_images:,} of {written.images:,} images can't be used, and max_bad_fraction is {allowed:g}:\n{listed}"
        + (f"\n  and {more:,} more" if more else "")
        + "\nmend or remove them, or raise max_bad_fraction"
    )


@contextlib.contextmanager
def _renamed_when_whole(spark: SparkSession, url: str) -> Iterator[str]:
    files, target = _hadoop(spark, url)
    folder = _child(spark, target.getParent(), f".{target.getName()}.{uuid.uuid4().hex}")
    try:
        yield folder.toString()
        if files.exists(target):
            files.delete(target, True)
        if not files.rename(folder, target):
            raise ArtifactError(f"{url} could not be put in place; check the permissions of the folder it is in")
    finally:
        if files.exists(folder):
            files.delete(folder, True)


def _hadoop(spark: SparkSession, url: str) -> tuple[Any, Any]:
    """Hadoop's file system for ``url``, and its full path there; without a scheme it is local, as everywhere here."""
    if filesystem_for(url) is not None:  # the JVM may run in another folder than this process by now
        url = f"file:{os.path.abspath(local_path(url))}"
    path = spark._jvm.org.apache.hadoop.fs.Path(url)  # type: ignore[union-attr]
    files = path.getFileSystem(spark._jsc.hadoopConfiguration())
    return files, files.makeQualified(path)


def _child(spark: SparkSession, folder: Any, name: str) -> Any:
    return spark._jvm.org.apache.hadoop.fs.Path(folder, name)  # type: ignore[union-attr]

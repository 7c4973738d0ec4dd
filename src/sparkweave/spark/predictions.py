"""Predictions on disk: Parquet or CSV, written beside the target and renamed when they are whole.

Spark writes through Hadoop's file systems, and so the renames do too: local paths and ``hdfs://`` behave alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweave.artifacts import swap
from sparkweave.errors import ArtifactError, DataError
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.jobs import described
from sparkweave.spark.storage import AS_WRITTEN, DONE, HadoopStorage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LISTED = 20
_SHOWN = ("path", "prediction", "probability", "error")


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
    storage = HadoopStorage(Hadoop.of(spark.sparkContext))
    with _explained(url):
        path = swap.found(storage.resolve(url), storage)
        if path is None:
            return
        if not overwrite:
            raise ArtifactError(f"{url} already exists; choose another path, or replace it (--overwrite)")
        if storage.kind(f"{path}/{DONE}") is None:
            raise ArtifactError(
                f"{url} exists and was not written by Spark, so it is not replaced; choose another path"
            )


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
    with _replacing(spark, url) as folder:
        writer = _columns(counted, file_format, labels).write
        with described(spark, "predicting"):
            writer.csv(folder, header=True) if file_format == "csv" else writer.parquet(folder)
        written = Written(images=counts.get["images"], bad_images=counts.get["bad"])
        if written.bad_images > max_bad_fraction * written.images:
            raise DataError(_too_many(spark, folder, file_format, written, max_bad_fraction))
    return written


def _columns(predictions: DataFrame, file_format: str, labels: Sequence[str]) -> DataFrame:
    if file_format == "parquet" or not labels:
        return predictions.select(*(name for name in _SHOWN if name in predictions.columns))
    each = [F.col("probability").getItem(index).alias(f"probability_{label}") for index, label in enumerate(labels)]
    return predictions.select("path", "prediction", *each, "error")


def _too_many(spark: SparkSession, folder: str, file_format: str, written: Written, allowed: float) -> str:
    with described(spark, "listing the images that can't be used"):
        written_rows = spark.read.options(header="true", **AS_WRITTEN).format(file_format).load(folder)
        rows = written_rows.where("error is not null").select("path", "error").limit(_LISTED).collect()
    listed = "\n".join(f"  {row.path}: {row.error}" for row in rows)
    more = written.bad_images - len(rows)
    return (
        f"{written.bad_images:,} of {written.images:,} images can't be used, and max_bad_fraction is {allowed:g}:\n{listed}"
        + (f"\n  and {more:,} more" if more else "")
        + "\nmend or remove them, or allow more (--max-bad-fraction, max_bad_fraction in Python)"
    )


@contextlib.contextmanager
def _replacing(spark: SparkSession, url: str) -> Iterator[str]:
    storage = HadoopStorage(Hadoop.of(spark.sparkContext))
    target = storage.resolve(url)
    with _explained(url):
        # What an interrupted command left beside it stays: Spark would not notice if another one still wrote there.
        swap.restore(target, storage)
        with swap.replacing(target, storage) as folder:
            yield folder


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{url} was not written: {error.strerror or error}; what was there before is as it was: check the path"
        ) from error

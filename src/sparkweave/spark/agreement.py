"""Whether batches, streams and HTTP give the same probabilities for the same images: they share one path to a prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame

from sparkweave.errors import DataError
from sparkweave.spark.jobs import described
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.sample import sampled

if TYPE_CHECKING:
    from pyspark.sql import Row

Probabilities = Mapping[str, npt.NDArray[np.float32]]
"""By path, float32 (classes,)."""

_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far one way's probabilities are from those of the batch.

    Attributes:
        way: ``stream`` or ``http``.
        images: How many were compared.
        identical: How many have the same bits.
        largest: The largest difference of a probability.
    """

    way: str
    images: int
    identical: int
    largest: float

    @property
    def verdict(self) -> str:
        """``identical``, ``rounding`` (other CPUs) or ``different``."""
        if self.identical == self.images:
            return "identical"
        return "rounding" if self.largest <= _ROUNDING else "different"

    def __str__(self) -> str:
        return (
            f"{self.way}: {self.verdict}; {self.identical:,} of {self.images:,} images have the same bits as in the batch, and "
            f"the largest difference is {self.largest:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**dataclasses.asdict(self), "verdict": self.verdict}


def some_images(df: DataFrame, *, most: int, seed: int = 0) -> list[Row]:
    """Usable images of ``df``, ``most`` at most, the same ones each time.

    Raises:
        DataError: if there is none.
    """
    with described(df.sparkSession, "choosing images"):
        rows = sampled(df, shards=1, most=most, seed=seed).where("image is not null").collect()
    if not rows:
        raise DataError("there is not one usable image; give archives of PNG or JPEG images")
    return rows


def by_batch(model: TrainedModel, images: list[Row], like: DataFrame) -> Probabilities:
    """What `TrainedModel.transform` gives for a DataFrame of ``images``."""
    df = like.sparkSession.createDataFrame(images, like.schema)
    with described(like.sparkSession, "predicting in a batch"):
        return _collected(model.transform(df).select("path", "probability").collect())


def by_stream(model: TrainedModel, images: list[Row], like: DataFrame, *, folder: str) -> Probabilities:
    """What it gives for a stream of the same.

    Args:
        model: Predicts.
        images: To be predicted.
        like: What they are rows of.
        folder: Where the stream reads from and keeps its checkpoint; all executors must reach it.
    """
    spark, found = like.sparkSession, []
    with described(spark, "predicting in a stream"):
        spark.createDataFrame(images, like.schema).write.parquet(f"{folder}/images")
        stream = spark.readStream.schema(like.schema).parquet(f"{folder}/images")
        predictions = model.transform(stream).select("path", "probability")
        query = (
            predictions.writeStream.foreachBatch(lambda batch, _number: found.extend(batch.collect()))
            .option("checkpointLocation", f"{folder}/checkpoint")
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
    return _collected(found)


def encoded(image: Row) -> bytes:
    """An image as a PNG, of which the same pixels come out again."""
    shape = (image["height"], image["width"], image["channels"])
    pixels = np.frombuffer(image["data"], np.uint8).reshape(shape)
    return cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()


def compared(way: str, batch: Probabilities, other: Probabilities) -> Agreement:
    """``other`` against the ``batch``.

    Raises:
        DataError: if images are missing in one of them.
    """
    if missing := batch.keys() ^ other.keys():
        raise DataError(f"{len(missing)} images were predicted by one way and not by the other, such as {min(missing)}")
    differences = [np.abs(batch[path] - other[path]) for path in batch]
    return Agreement(
        way=way,
        images=len(batch),
        identical=sum(not difference.any() for difference in differences),
        largest=max(float(difference.max()) for difference in differences),
    )


def _collected(rows: list[Row]) -> Probabilities:
    return {row["path"]: np.array(row["probability"], np.float32) for row in rows}

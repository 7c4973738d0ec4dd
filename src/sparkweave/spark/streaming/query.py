"""One run of a stream: a batch after the other until nothing is left, or until it is told to stop."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweave.artifacts.lease import held
from sparkweave.artifacts.storage import Storage
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.predictions import Written
from sparkweave.spark.streaming.watched_model import WatchedModel

_LOOK_SECONDS = 0.5
_COMMIT_SECONDS = 10.0


class Source(Protocol):
    """Where images come from."""

    def stream(self, spark: SparkSession) -> DataFrame:
        """What is new, as a streaming DataFrame."""

    def predictions(self, batch: DataFrame, batch_id: int, model: TrainedModel) -> DataFrame:
        """``path``, ``prediction``, ``probability`` (where there are classes), ``error`` and what else the source knows, of a batch."""


class Sink(Protocol):
    """Where predictions go. A batch that is written again takes the place of what was there, or is passed over."""

    def write(self, batch_id: int, rows: DataFrame) -> Written:
        """Writes a batch, whole or not at all."""

    def close(self) -> None:
        """Ends what is open."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchEnded:
    """A batch was written.

    Attributes:
        batch_id: Its number in the checkpoint.
        images: Its rows, those without a prediction included.
        bad_images: Those.
        model: The version that predicted.
    """

    batch_id: int
    images: int
    bad_images: int
    model: str


def sparks_checkpoint(folder: str) -> str:
    """Where Spark keeps what was read, in a stream's folder."""
    return f"{folder}/spark"


class PredictionStream:
    """Predicts what a source has, batch by batch.

    Args:
        source: Where images come from.
        sink: Where predictions go.
        model: Looked at before each batch.
        checkpoint: The stream's folder, as ``storage`` resolved it: of one driver at a time.
        storage: Where it is.
        on_batch: Called after each batch.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        model: WatchedModel,
        *,
        checkpoint: str,
        storage: Storage,
        on_batch: Callable[[BatchEnded], None] = lambda _batch: None,
    ) -> None:
        self._storage = storage
        self._source, self._sink, self._model = source, sink, model
        self._checkpoint, self._on_batch = checkpoint, on_batch
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._last: int | None = None
        self._failure: Exception | None = None

    def run(self, spark: SparkSession, *, available_now: bool = False, seconds: float = 0.0) -> None:
        """Runs until `stop`, or with ``available_now`` until all that is there has been predicted.

        Args:
            spark: The session.
            available_now: End when nothing is left.
            seconds: Pause between the beginnings of batches.

        Raises:
            ArtifactError: if another driver runs this stream.
            SparkweaveError: if a batch can't be written.
        """
        with held(self._checkpoint, self._storage) as lease:
            self._lease = lease
            self._run(spark, available_now=available_now, seconds=seconds)

    def _run(self, spark: SparkSession, *, available_now: bool, seconds: float) -> None:
        writer = self._source.stream(spark).writeStream.foreachBatch(self._batch)
        writer = writer.option("checkpointLocation", sparks_checkpoint(self._checkpoint))
        trigger: dict[str, Any] = {"availableNow": True} if available_now else {"processingTime": f"{seconds} seconds"}
        query = writer.trigger(**trigger).start()
        try:
            while not self._stopping.is_set() and not query.awaitTermination(_LOOK_SECONDS):  # type: ignore[arg-type]
                pass
            self._let_commit(query)
            if self._failure is not None:
                raise self._failure
        except PySparkException as error:
            if self._failure is not None or not self._stopping.is_set():
                raise self._failure or error from error
        finally:
            query.stop()
            self._sink.close()

    def stop(self) -> None:
        """Ends `run` after the batch that is running; may be called from any thread."""
        self._stopping.set()

    def _batch(self, frame: DataFrame, batch_id: int) -> None:
        with self._turn:
            if self._stopping.is_set():
                raise RuntimeError("the stream is being stopped")
            try:
                self._predict(frame, batch_id)
            except Exception as error:
                self._failure = error  # Spark keeps only its text
                raise

    def _predict(self, frame: DataFrame, batch_id: int) -> None:
        frame.sparkSession.sparkContext.setJobDescription(f"sparkweave: predicting, batch {batch_id}")
        self._lease.check()
        version = self._model.current()
        rows = self._source.predictions(frame, batch_id, version.model).withColumn("model", F.lit(version.name))
        written = self._sink.write(batch_id, rows)
        self._last = batch_id
        self._on_batch(
            BatchEnded(batch_id=batch_id, images=written.images, bad_images=written.bad_images, model=version.name)
        )

    def _let_commit(self, query: Any) -> None:
        """Waits for the running batch, and a little for Spark to note it; what isn't noted is run again, to the same effect."""
        with self._turn:
            pass
        end = time.monotonic() + _COMMIT_SECONDS
        while query.isActive and self._last is not None and time.monotonic() < end:
            progress = query.lastProgress
            if progress is not None and progress["batchId"] >= self._last:
                return
            time.sleep(0.1)

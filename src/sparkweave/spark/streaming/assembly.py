"""From what a user asks for to a stream that can run; whatever can be checked is checked before it does."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from pyspark.sql import SparkSession

from sparkweave.errors import ConfigError, DataError
from sparkweave.filesystem import is_local, local_path
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.storage import HadoopStorage
from sparkweave.spark.streaming.apart import require_apart
from sparkweave.spark.streaming.dropped_files import DroppedFiles
from sparkweave.spark.streaming.identity import StreamIdentity, claim_checkpoint, claim_output
from sparkweave.spark.streaming.kafka_address import KafkaAddress, check_topic, is_kafka
from sparkweave.spark.streaming.parquet_sink import ParquetSink
from sparkweave.spark.streaming.query import BatchEnded, PredictionStream, Sink, Source, sparks_checkpoint
from sparkweave.spark.streaming.watched_model import WatchedModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOrder:
    """A stream as a user asks for it.

    Attributes:
        model: A model, or a folder of versions.
        input: A folder, or ``kafka://HOST:PORT/TOPIC``.
        output: Likewise.
        checkpoint: A folder.
        max_per_batch: Most files or messages of one batch.
        starting_offsets: ``earliest`` or ``latest``: where a new checkpoint begins in Kafka.
        fail_on_data_loss: Whether the stream ends where Kafka dropped messages that it had not read.
        kafka: Settings of librdkafka.
        allow_code: Whether a network of the user's own code may be imported.
    """

    model: str
    input: str
    output: str
    checkpoint: str
    max_per_batch: int = 1000
    starting_offsets: str = "latest"
    fail_on_data_loss: bool = True
    kafka: tuple[tuple[str, str], ...] = ()
    allow_code: bool = False


def check_order(order: StreamOrder) -> None:
    """What needs no session: a local model, a folder to read from, a broker that answers.

    Raises:
        ConfigError: if a URL is not as it should be, or the stream would read what it writes.
        ArtifactError: if there is no usable model.
        DataError: if there is no folder to read from.
        ResourceError: if Kafka does not answer, or has no such topic.
    """
    if is_kafka(order.checkpoint):
        raise ConfigError(f"checkpoint is {order.checkpoint}; it must be a folder")
    require_apart(order.input, output=order.output, checkpoint=order.checkpoint)
    if is_local(order.model):
        _model(order)
    for url in (order.input, order.output):
        if is_kafka(url):
            check_topic(KafkaAddress.of(url), dict(order.kafka))
    if is_local(order.input) and not os.path.isdir(local_path(order.input)):
        raise DataError(f"{order.input} is no folder; make it, and move images or ZIP archives there")


def open_stream(
    spark: SparkSession, order: StreamOrder, *, on_batch: Callable[[BatchEnded], None] = lambda _batch: None
) -> PredictionStream:
    """A stream that is ready to run.

    Raises:
        ConfigError: if tasks can't read the input, or the stream would read what it writes.
        ArtifactError: if there is no usable model, or checkpoint or output belong to another stream.
    """
    storage = HadoopStorage(Hadoop.of(spark.sparkContext))
    model = _model(order)
    names = {name: _full(url, storage) for name, url in (("source", order.input), ("output", order.output))}
    checkpoint = storage.resolve(order.checkpoint)
    require_apart(names["source"], output=names["output"], checkpoint=checkpoint)
    identity = claim_checkpoint(order.checkpoint, **names, storage=storage)
    return PredictionStream(
        _source(order, names["source"], sparks_checkpoint(checkpoint), storage),
        _sink(order, names["output"], identity, storage),
        model,
        checkpoint=checkpoint,
        storage=storage,
        on_batch=on_batch,
    )


def _model(order: StreamOrder) -> WatchedModel:
    return WatchedModel(order.model, allow_code=order.allow_code, images=not is_kafka(order.input))


def _full(url: str, storage: HadoopStorage) -> str:
    return url if is_kafka(url) else storage.resolve(url)


def _source(order: StreamOrder, url: str, checkpoint: str, storage: HadoopStorage) -> Source:
    if is_kafka(url):
        from sparkweave.spark.streaming.kafka_messages import KafkaMessages

        return KafkaMessages(
            address=KafkaAddress.of(url),
            settings=order.kafka,
            starting_offsets=order.starting_offsets,
            max_messages=order.max_per_batch,
            fail_on_data_loss=order.fail_on_data_loss,
        )
    return DroppedFiles(url=url, checkpoint=checkpoint, storage=storage, max_files=order.max_per_batch)


def _sink(order: StreamOrder, url: str, identity: StreamIdentity, storage: HadoopStorage) -> Sink:
    if is_kafka(url):
        from sparkweave.spark.streaming.kafka_sink import KafkaSink

        return KafkaSink(KafkaAddress.of(url), dict(order.kafka), token=identity.token)
    claim_output(url, identity, checkpoint=order.checkpoint, storage=storage)
    return ParquetSink(url, storage)

"""Messages to predictions: a value is an encoded image, or a JSON array of numbers; the key goes along."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweave.spark.ml.scoring import PredictInputs, predicted
from sparkweave.spark.streaming.kafka_address import KafkaAddress
from sparkweave.spark.streaming.kafka_source import NAME, KafkaSource

if TYPE_CHECKING:
    from sparkweave.spark.model import TrainedModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class KafkaMessages:
    """A topic.

    Attributes:
        address: Where it is.
        settings: Of librdkafka.
        starting_offsets: ``earliest`` or ``latest``.
        max_messages: Most of one batch.
        fail_on_data_loss: Whether messages that are gone unread are an error.
    """

    address: KafkaAddress
    settings: tuple[tuple[str, str], ...] = ()
    starting_offsets: str = "latest"
    max_messages: int = 1000
    fail_on_data_loss: bool = True

    def stream(self, spark: SparkSession) -> DataFrame:
        """A stream of messages."""
        spark.dataSource.register(KafkaSource)
        options = {
            "servers": self.address.servers,
            "topic": self.address.topic,
            "startingOffsets": self.starting_offsets,
            "maxOffsetsPerTrigger": str(self.max_messages),
            "failOnDataLoss": str(self.fail_on_data_loss).lower(),
            **{f"kafka.{name}": value for name, value in self.settings},
        }
        return spark.readStream.format(NAME).options(**options).load()

    def predictions(self, batch: DataFrame, batch_id: int, model: TrainedModel) -> DataFrame:
        """See `Source.predictions`; ``path`` is ``TOPIC/PARTITION/OFFSET``, and there is a ``key``."""
        task, weights = model.predictor[0], model.weights_in(batch.sparkSession)
        scored = predicted(_input(model), PredictInputs(task, weights, invalid_is_error=False))
        rows = batch.select(
            F.concat_ws("/", "topic", "partition", "offset").alias("path"), "key", scored.alias("scored")
        )
        output, error = F.col("scored.output"), F.col("scored.error").alias("error")
        if not model.labels:
            return rows.select("path", "key", F.element_at(output, 1).alias("prediction"), error)
        best = F.array_position(output, F.array_max(output)).cast("int")

        label = F.when(output.isNotNull(), F.element_at(F.array(*map(F.lit, model.labels)), best)).alias("prediction")
        return rows.select("path", "key", label, output.cast("array<float>").alias("probability"), error)


def _input(model: TrainedModel) -> Column:
    value = F.col("value")
    return value if len(model.input_shape) == 3 else F.from_json(value.cast("string"), "array<float>")

"""Topics of Kafka as a stream of Spark, in Python: a cluster where nothing can be installed needs no connector jar.

Offsets are Spark's to keep, in its checkpoint, as with Spark's own source; no consumer group is used. Only whole transactions are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from sparkweave.errors import ResourceError
from sparkweave.spark.streaming.kafka_address import KafkaAddress, client_library, client_settings

NAME = "sparkweave-kafka"
COLUMNS = "key binary, value binary, topic string, partition int, offset bigint"
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("key", pa.binary()),
    ("value", pa.binary()),
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
]
_SCHEMA = pa.schema(_FIELDS)
_SETTING = "kafka."
_TIMEOUT_SECONDS = 30.0
_BATCH_ROWS = 500
_BATCH_BYTES = 8 << 20

Offsets = dict[str, int]
"""By partition; its number is a text, as JSON has it."""


@dataclasses.dataclass
class OffsetRange(InputPartition):
    """What one task reads: the offsets from ``start`` up to, not with, ``end``."""

    partition: int
    start: int
    end: int


class KafkaSource(DataSource):
    """Options: ``servers``, ``topic``, ``startingOffsets``, ``maxOffsetsPerTrigger``, ``failOnDataLoss`` and ``kafka.`` settings of librdkafka."""

    @classmethod
    def name(cls) -> str:
        """Its format in Spark."""
        return NAME

    def schema(self) -> str:
        """Its columns."""
        return COLUMNS

    def streamReader(self, schema: StructType) -> KafkaReader:  # noqa: N802 - Spark's
        """Reads a topic."""
        return KafkaReader(dict(self.options))


class KafkaReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """One topic. Spark calls all but `read` in one process beside the driver; `read` in tasks, on a copy."""

    def __init__(self, options: Mapping[str, str]) -> None:
        settings = {name.removeprefix(_SETTING): value for name, value in options.items() if name.startswith(_SETTING)}
        self._settings = settings
        self._address = KafkaAddress(servers=options["servers"], topic=options["topic"])
        self._earliest = options.get("startingoffsets", options.get("startingOffsets")) == "earliest"
        self._most = int(options.get("maxoffsetspertrigger", options.get("maxOffsetsPerTrigger", "0")))
        self._strict = options.get("failondataloss", options.get("failOnDataLoss", "true")) == "true"
        self._target: Offsets | None = None

    def initialOffset(self) -> Offsets:  # noqa: N802 - Spark's
        """Where a new checkpoint begins."""
        return {name: first if self._earliest else last for name, (first, last) in self._bounds().items()}

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802 - Spark's
        """What a batch is limited to."""
        return ReadMaxRows(self._most) if self._most else ReadAllAvailable()

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802 - Spark's
        """What comes later belongs to another run."""
        self._target = {name: last for name, (_first, last) in self._bounds().items()}

    def latestOffset(self, start: Offsets, limit: ReadLimit) -> Offsets:  # noqa: N802 - Spark's
        """Where the next batch ends."""
        bounds = self._bounds()
        last = self._target if self._target is not None else {name: end for name, (_first, end) in bounds.items()}
        for name in sorted(start):
            if start[name] > (end := bounds.get(name, (0, 0))[1]):
                self._lost(name, start[name], bounds.get(name, (0, end)))
                start = {other: offset for other, offset in start.items() if other != name}  # created anew
        begin = {name: start.get(name, first) for name, (first, _end) in bounds.items()}
        most = limit.max_rows if isinstance(limit, ReadMaxRows) else None
        return end_offsets({**begin, **start}, last, most)

    def partitions(self, start: Offsets, end: Offsets) -> list[OffsetRange]:
        """The tasks of a batch.

        Raises:
            ResourceError: if messages are gone that were not read, unless that is borne.
        """
        bounds = self._bounds()
        ranges = []
        for name, stop in sorted(end.items(), key=lambda pair: int(pair[0])):
            first = bounds[name][0] if name in bounds else stop
            begin = start.get(name, first)
            if begin > stop:  # created anew, as `latestOffset` has said
                begin = first
            if (begin < first and begin < stop) or (name in bounds and bounds[name][1] < stop):
                self._lost(name, begin, bounds[name])
                begin, stop = max(begin, first), min(stop, bounds[name][1])  # noqa: PLW2901 - what is left of it
            if begin < stop:
                ranges.append(OffsetRange(int(name), begin, stop))
        return ranges

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Task: the messages of a range."""
        assert isinstance(partition, OffsetRange)
        rows: list[tuple[Any, ...]] = []
        size = 0
        for message in self._messages(partition):
            rows.append((message.key(), message.value(), message.topic(), message.partition(), message.offset()))
            size += len(message.value() or b"") + len(message.key() or b"")
            if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield _batch(rows)
                rows, size = [], 0
        if rows:
            yield _batch(rows)

    def commit(self, end: Offsets) -> None:
        """Nothing: the checkpoint has it."""

    def _lost(self, name: str, begin: int, bounds: tuple[int, int]) -> None:
        if self._strict:
            raise ResourceError(
                f"{self._address.topic}, partition {name}: the stream was at offset {begin}, and Kafka has {bounds[0]} to {bounds[1]}:"
                " messages are gone that were not read; go on without them (--no-fail-on-data-loss)"
            )

    def _messages(self, wanted: OffsetRange) -> Iterator[Any]:
        kafka = client_library()
        consumer = self._consumer()
        try:
            consumer.assign([kafka.TopicPartition(self._address.topic, wanted.partition, wanted.start)])
            at = wanted.start
            while at < wanted.end:
                message = consumer.poll(_TIMEOUT_SECONDS)
                if message is None:
                    raise ResourceError(
                        f"{self._address.servers} sent nothing of {self._address.topic}, partition {wanted.partition}, within {_TIMEOUT_SECONDS:g} s"
                        f" (at offset {at} of {wanted.end}); check the broker"
                    )
                if (error := message.error()) is not None:
                    if error.code() != kafka.KafkaError._PARTITION_EOF:
                        raise ResourceError(f"{self._address.servers}: {error.str()}; check the broker")
                    at = max(at, message.offset())  # aborted transactions and markers have offsets, and no messages
                    continue
                at = message.offset() + 1
                if message.offset() < wanted.end:
                    yield message
        finally:
            consumer.close()

    def _bounds(self) -> dict[str, tuple[int, int]]:
        """The first offset of each partition, and the one after its last whole transaction."""
        kafka = client_library()
        topic = self._address.topic
        consumer = self._consumer()
        try:
            partitions = sorted(consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions)
            return {
                str(number): consumer.get_watermark_offsets(
                    kafka.TopicPartition(topic, number), timeout=_TIMEOUT_SECONDS, cached=False
                )
                for number in partitions
            }
        except kafka.KafkaException as error:
            raise ResourceError(f"{self._address.servers}: {error.args[0].str()}; check the broker") from error
        finally:
            consumer.close()

    def _consumer(self) -> Any:
        settings = {
            "group.id": "sparkweave",  # the client wants one; nothing is committed under it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
        }
        return client_library().Consumer({**client_settings(self._address, self._settings), **settings})


def end_offsets(start: Offsets, last: Offsets, most: int | None) -> Offsets:
    """Where a batch from ``start`` ends that has ``most`` messages at most, shared by the partitions as what they hold.

    >>> end_offsets({"0": 0, "1": 10}, {"0": 30, "1": 20}, 20)
    {'0': 15, '1': 15}
    """
    waiting = {name: max(0, last.get(name, begin) - begin) for name, begin in start.items()}
    total = sum(waiting.values())
    if most is None or total <= most:
        return {name: begin + waiting[name] for name, begin in start.items()}
    taken = {name: count * most // total for name, count in waiting.items()}
    for name in sorted(waiting, key=lambda name: taken[name] - waiting[name]):
        if sum(taken.values()) < most and taken[name] < waiting[name]:
            taken[name] += 1
    return {name: begin + taken[name] for name, begin in start.items()}


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array(column, kind) for column, (_, kind) in zip(zip(*rows, strict=True), _FIELDS, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)

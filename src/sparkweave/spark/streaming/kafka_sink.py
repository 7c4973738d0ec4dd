"""Predictions of a stream as messages: a batch is one transaction, and says in it that it was written.

The transaction also commits the batch's number, as the offset of a consumer group that nobody reads with. A batch whose number is there is
passed over, so a reader of whole transactions (``isolation.level=read_committed``) gets each batch once, whatever was killed when. One producer,
on the driver, writes it: rows without their images are small, and parts of a batch need no order among writers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from sparkweave.errors import ResourceError
from sparkweave.spark.predictions import Written
from sparkweave.spark.streaming.kafka_address import KafkaAddress, client_library, client_settings

_TIMEOUT_SECONDS = 60.0
_TRANSACTION_MS = 300_000


class KafkaSink:
    """Writes to one topic.

    Args:
        address: Where it is.
        settings: Of librdkafka.
        token: The stream's own name.
    """

    def __init__(self, address: KafkaAddress, settings: Mapping[str, str], *, token: str) -> None:
        self._address, self._settings, self._name = address, dict(settings), f"sparkweave-stream-{token}"
        self._kafka = client_library()
        self._mark = (address.topic, 0)
        self._producer: Any = None

    def write(self, batch_id: int, rows: DataFrame) -> Written:
        """Writes a batch, unless it was written.

        Raises:
            ResourceError: if Kafka refuses.
        """
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK)  # computed before the transaction, whose time is limited
        try:
            count = rows.select(F.count(F.lit(1)).alias("images"), F.count("error").alias("bad")).first()
            assert count is not None
            self._explained(lambda: self._write(batch_id, rows))
        finally:
            rows.unpersist()
        return Written(images=count.images, bad_images=count.bad)

    def close(self) -> None:
        """Lets go of the producer; an open transaction is aborted."""
        self._producer = None

    def _write(self, batch_id: int, rows: DataFrame) -> None:
        if self._producer is None:
            self._producer = self._new_producer()
        with_marks = self._consumer()
        try:
            if self._next_batch(with_marks) > batch_id:
                return
            self._producer.begin_transaction()
            for row in rows.toLocalIterator():
                self._send(row, batch_id)
            mark = self._kafka.TopicPartition(*self._mark, batch_id + 1)
            self._producer.send_offsets_to_transaction([mark], with_marks.consumer_group_metadata(), _TIMEOUT_SECONDS)
            self._producer.commit_transaction(_TIMEOUT_SECONDS)
        finally:
            with_marks.close()

    def _send(self, row: Row, batch_id: int) -> None:
        values = row.asDict()
        key = values.pop("key", row.path)
        value = json.dumps({name: value for name, value in values.items() if value is not None})
        headers = [("sparkweave-batch", str(batch_id).encode()), ("sparkweave-source", row.path.encode())]
        while True:
            try:
                self._producer.produce(self._address.topic, value=value, key=_bytes(key), headers=headers)
            except BufferError:  # its queue is full
                self._producer.poll(1)
            else:
                self._producer.poll(0)
                return

    def _next_batch(self, consumer: Any) -> int:
        found = consumer.committed([self._kafka.TopicPartition(*self._mark)], timeout=_TIMEOUT_SECONDS)[0]
        return max(0, int(found.offset))

    def _new_producer(self) -> Any:
        """Whoever wrote under this name before can't any more, and what it left open is aborted."""
        settings = {"transactional.id": self._name, "transaction.timeout.ms": _TRANSACTION_MS, "linger.ms": 20}
        producer = self._kafka.Producer({**client_settings(self._address, self._settings), **settings})
        producer.init_transactions(_TIMEOUT_SECONDS)
        return producer

    def _consumer(self) -> Any:
        settings = {"group.id": self._name, "enable.auto.commit": False, "isolation.level": "read_committed"}
        return self._kafka.Consumer({**client_settings(self._address, self._settings), **settings})

    def _explained(self, write: Callable[[], None]) -> None:
        try:
            write()
        except self._kafka.KafkaException as error:
            self._producer = None
            raise ResourceError(
                f"{self._address.servers} did not take a batch for {self._address.topic}: {error.args[0].str()};"
                " it is written again at the next start, once"
            ) from error


def _bytes(key: Any) -> bytes | None:
    return key.encode() if isinstance(key, str) else None if key is None else bytes(key)

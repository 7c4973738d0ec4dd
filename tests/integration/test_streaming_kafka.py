"""From Kafka to Kafka and Parquet, on a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from tests.integration.streaming_place import Place, png

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.testing.kafka import KafkaBroker


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def produce(broker: KafkaBroker, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": broker.servers})
    for key, value in messages:
        producer.produce(topic, key=key, value=value)
    assert producer.flush(60) == 0


def consume(broker: KafkaBroker, topic: str) -> list[Any]:
    """All that a reader of whole transactions gets of partition 0."""
    settings = {"group.id": "test", "enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": broker.servers, "enable.auto.commit": False, **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = []
    while True:
        message = consumer.poll(60)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            consumer.close()
            return messages
        messages.append(message)


def test_kafka_to_parquet(spark: SparkSession, kafka: KafkaBroker, place: Place) -> None:
    images = kafka.create_topic("to-parquet", partitions=2)
    produce(kafka, "to-parquet", [(b"a", png(0)), (b"b", b"no image"), (None, png(1)), (b"gone", None)])
    place.run(spark, input=images, starting_offsets="earliest", max_per_batch=3)
    produce(kafka, "to-parquet", [(b"later", png(0))])
    place.run(spark, input=images, starting_offsets="earliest")
    rows = place.rows(spark)
    assert [batch.images for batch in place.batches] == [3, 1, 1]
    by_key = {bytes(row.key) if row.key is not None else None: row for row in rows.values()}
    assert {key for key, row in by_key.items() if row.error} == {b"b", b"gone"}
    assert all((row.prediction is None) == (row.error is not None) for row in rows.values())
    assert by_key[b"a"].probability == by_key[b"later"].probability
    assert by_key[b"gone"].error == "its image is null"
    assert all(path.startswith("to-parquet/") for path in rows)


def test_messages_that_are_gone_unread_are_an_error(spark: SparkSession, kafka: KafkaBroker, place: Place) -> None:
    images = kafka.create_topic("lossy")
    produce(kafka, "lossy", [(b"0", png(0))])
    place.run(spark, input=images, starting_offsets="earliest")
    produce(kafka, "lossy", [(b"1", png(1)), (b"2", png(2))])
    kafka.delete_records("lossy", before=2)
    with pytest.raises(Exception, match="messages are gone that were not read"):
        place.run(spark, input=images)
    place.run(spark, input=images, fail_on_data_loss=False)
    assert {row.path for row in place.rows(spark).values()} == {"lossy/0/0", "lossy/0/2"}


def test_vectors_come_as_json(spark: SparkSession, kafka: KafkaBroker, place: Place) -> None:
    torch.manual_seed(0)
    network = build_network("mlp", input_shape=(3,), classes=1, allow_code=False)
    config = {"network": describe_network("mlp"), "input_shape": [3], "labels": [], "task": "regression"}
    config |= {"preprocessing": {"mean": [0.0] * 3, "deviation": [1.0] * 3}, "target": {"mean": 0.0, "deviation": 1.0}}
    ModelArtifact(config=config, weights=network.state_dict()).save(str(place.folder / "numbers.zip"))
    vectors = kafka.create_topic("vectors")
    produce(
        kafka,
        "vectors",
        [(b"good", b"[1, 2.5, -3]"), *((b"bad", v) for v in (b"[1, 2]", b"[1, 2", b"[1, null, 2]", b"\xff"))],
    )
    place.run(spark, input=vectors, model=str(place.folder / "numbers.zip"), starting_offsets="earliest")
    rows = list(place.rows(spark).values())
    good = [row for row in rows if bytes(row.key) == b"good"]
    assert isinstance(good[0].prediction, float)
    assert all(row.error and row.prediction is None for row in rows if bytes(row.key) == b"bad")


KILLED = """
import os, signal, sys
from pathlib import Path
from sparkweave.spark.session import build_session
from sparkweave.spark.streaming.kafka_sink import KafkaSink
from tests.integration.streaming_place import Place
place = Place.__new__(Place)
place.folder = Path(sys.argv[1]); place.input, place.output = place.folder / "in", place.folder / "out"
place.models, place.batches = place.folder / "models", []
when = sys.argv[4]
write, send = KafkaSink._write, KafkaSink._send
sent = []
def die():
    os.killpg(os.getpid(), signal.SIGKILL)
def slow_write(self, batch_id, rows):
    write(self, batch_id, rows)
    if when == "committed" and batch_id == 1:
        die()
def slow_send(self, row, batch_id):
    send(self, row, batch_id)
    if when == "open" and batch_id == 1:
        self._producer.flush(60)
        die()
KafkaSink._write, KafkaSink._send = slow_write, slow_send
order = {"input": sys.argv[2], "output": sys.argv[3], "starting_offsets": "earliest", "max_per_batch": 2}
place.run(build_session("local[1]", {"spark.ui.enabled": "false"}), **order)
"""


@pytest.mark.parametrize("when", ["open", "committed"])
def test_kafka_to_kafka_is_exactly_once_after_a_kill(
    spark: SparkSession, kafka: KafkaBroker, place: Place, when: str
) -> None:
    images, predictions = kafka.create_topic(f"in-{when}"), kafka.create_topic(f"out-{when}")
    produce(kafka, f"in-{when}", [(str(number).encode(), png(number)) for number in range(5)] + [(b"5", b"poison")])
    command = [sys.executable, "-c", KILLED, str(place.folder), images, predictions, when]
    child = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=280, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    place.run(spark, input=images, output=predictions, max_per_batch=2)
    got = consume(kafka, f"out-{when}")
    assert [message.key() for message in got] == [str(number).encode() for number in range(6)]
    assert [dict(message.headers())["sparkweave-batch"] for message in got] == [b"0", b"0", b"1", b"1", b"2", b"2"]
    values = [json.loads(message.value()) for message in got]
    assert [value["path"] for value in values] == [f"in-{when}/0/{number}" for number in range(6)]
    assert "error" in values[5]
    assert "prediction" not in values[5]
    assert {value["prediction"] for value in values[:5]} <= {"cat", "dog"}


def test_our_own_transactions_can_be_read_as_a_source(spark: SparkSession, kafka: KafkaBroker, place: Place) -> None:
    relay = kafka.create_topic("relay")
    producer = Producer({"bootstrap.servers": kafka.servers, "transactional.id": "test"})
    producer.init_transactions(60)
    for number, commits in enumerate((True, False, True, False)):
        producer.begin_transaction()
        producer.produce("relay", key=str(number), value=png(number))
        producer.flush(60)
        (producer.commit_transaction if commits else producer.abort_transaction)(60)
    place.run(spark, input=relay, starting_offsets="earliest", max_per_batch=3)
    assert {bytes(row.key) for row in place.rows(spark).values()} == {b"0", b"2"}

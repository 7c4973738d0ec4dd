from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.streaming.datasource import ReadAllAvailable

from sparkweave.errors import ResourceError
from sparkweave.spark.streaming.kafka_source import KafkaReader, end_offsets


def reader(monkeypatch: pytest.MonkeyPatch, bounds: dict[str, tuple[int, int]], *, strict: bool) -> KafkaReader:
    made = KafkaReader({"servers": "localhost:1", "topic": "images", "failOnDataLoss": str(strict).lower()})
    monkeypatch.setattr(made, "_bounds", lambda: bounds)
    return made


def test_a_topic_that_was_created_anew_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = reader(monkeypatch, {"0": (0, 3)}, strict=True)
    with pytest.raises(ResourceError, match="partition 0: the stream was at offset 8, and Kafka has 0 to 3"):
        made.latestOffset({"0": 8}, ReadAllAvailable())
    gone = reader(monkeypatch, {"0": (0, 9)}, strict=True)
    with pytest.raises(ResourceError, match="partition 1: the stream was at offset 2, and Kafka has 0 to 0"):
        gone.latestOffset({"0": 8, "1": 2}, ReadAllAvailable())


def test_a_topic_that_was_created_anew_is_read_from_its_beginning_where_losses_are_borne(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = reader(monkeypatch, {"0": (0, 3), "1": (2, 7)}, strict=False)
    end = made.latestOffset({"0": 8, "1": 5}, ReadAllAvailable())
    assert end == {"0": 3, "1": 7}
    ranges = made.partitions({"0": 8, "1": 5}, end)
    assert [(found.partition, found.start, found.end) for found in ranges] == [(0, 0, 3), (1, 5, 7)]


COUNTS = st.dictionaries(st.integers(0, 5).map(str), st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1)


@given(COUNTS, st.integers(1, 60))
def test_a_batch_has_as_many_as_it_may_and_goes_on_until_all_are_read(
    counts: dict[str, tuple[int, int]], most: int
) -> None:
    start = {name: begin for name, (begin, _) in counts.items()}
    last = {name: begin + waiting for name, (begin, waiting) in counts.items()}
    while start != last:
        end = end_offsets(start, last, most)
        assert all(start[name] <= end[name] <= last[name] for name in start)
        assert sum(end.values()) - sum(start.values()) == min(most, sum(last.values()) - sum(start.values()))
        start = end
    assert end_offsets(start, last, most) == last


def test_a_partition_that_went_back_is_left_where_it_was() -> None:
    assert end_offsets({"0": 10, "1": 3}, {"0": 4}, None) == {"0": 10, "1": 3}

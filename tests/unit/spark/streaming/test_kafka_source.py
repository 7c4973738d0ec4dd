from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkweave.spark.streaming.kafka_source import end_offsets

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

"""The distribution of absolute errors, counted in parts."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.errors import ConfigError
from sparkweave.metrics.error_counts import ErrorCounts

ERRORS = st.lists(st.floats(0, 1e300), min_size=1)
BIN = 2 ** (1 / 16) * (1 + 1e-9)


def counted(errors: list[float]) -> ErrorCounts:
    counts = ErrorCounts()
    counts.update(np.array(errors, np.float64))
    return counts


@given(ERRORS, st.floats(1e-6, 1))
def test_a_quantile_is_the_smallest_error_that_enough_are_not_above_to_the_width_of_a_bin(
    errors: list[float], share: float
) -> None:
    found = counted(errors).quantile(share)
    needed = next(each for each in sorted(errors) if sum(other <= each for other in errors) / len(errors) >= share)
    assert needed / BIN <= found <= max(needed * BIN, 1e-307)


@given(ERRORS)
def test_the_curve_rises_to_all_errors(errors: list[float]) -> None:
    curve = counted(errors).curve()
    assert curve == sorted(curve)
    assert all(0 < share <= 1 for _, share in curve)
    assert not curve or curve[-1][1] == 1
    for error, share in curve:
        assert share >= sum(each <= error / BIN for each in errors) / len(errors)


@given(ERRORS, st.integers(0, 5), st.randoms())
def test_parts_merged_in_any_order_are_the_whole(errors: list[float], size: int, random: Any) -> None:
    parts = [counted(errors[start : start + size + 1]) for start in range(0, len(errors), size + 1)]
    random.shuffle(parts)
    total = ErrorCounts()
    for part in parts:
        total.merge(ErrorCounts.from_list(json.loads(json.dumps(part.to_list()))))
    assert total.to_list() == counted(errors).to_list()
    assert total.total == len(errors)


def test_no_errors_have_no_quantile_and_no_curve() -> None:
    assert math.isnan(ErrorCounts().quantile(0.5))
    assert ErrorCounts().curve() == []
    assert counted([0.0, 0.0]).quantile(1.0) == 0.0
    assert counted([0.0, 0.0]).curve() == []


@pytest.mark.parametrize(
    "pairs",
    [
        [[0, -1]],
        [[0, 1.5]],
        [[0, 1], [3, -2]],
        [[0, 1], [3, 1], [3, 1]],
        [[0, 1], [10**9, 1]],
        [[0, 1], ["a", 1]],
        [[0, 1 << 50]],
    ],
)
def test_what_is_no_count_is_refused(pairs: Any) -> None:
    with pytest.raises(ConfigError, match="errors"):
        ErrorCounts.from_list(pairs)

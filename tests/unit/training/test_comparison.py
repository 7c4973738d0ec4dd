"""How far two trainings from one start are apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.training.comparison import compare

START = {
    "layer.weight": torch.tensor([[1.0, -1.0], [0.5, 0.0]]),
    "norm.running_mean": torch.tensor([10.0]),
    "norm.num_batches_tracked": torch.tensor(0),
}
PARAMETERS = ["layer.weight"]


def after(
    *moved: float, mean: float = 11.0, batches: int = 3, start: dict[str, torch.Tensor] = START
) -> dict[str, torch.Tensor]:
    return {
        "layer.weight": start["layer.weight"] + torch.tensor(moved or (1.0, 0.0, 0.0, 0.0)).view(2, 2),
        "norm.running_mean": torch.tensor([mean]),
        "norm.num_batches_tracked": torch.tensor(batches),
    }


def test_the_same_bits_are_identical_whatever_their_layout_in_memory() -> None:
    other = after()
    other["layer.weight"] = other["layer.weight"].t().contiguous().t()
    found = compare(after(), other, START, PARAMETERS)
    assert found.identical
    assert (found.tensors, found.numbers, found.parameter, found.largest, found.distance) == (3, 6, "", 0.0, 0.0)


def test_the_tensor_that_differs_most_is_named() -> None:
    found = compare(after(1.0, 0.0, 0.0, 0.25), after(1.0, 0.0, 0.0, 0.0, mean=11.125), START, PARAMETERS)
    assert not found.identical
    assert (found.parameter, found.largest, found.change) == ("layer.weight", 0.25, 1.0)
    assert found.distance == 0.25


def test_statistics_are_measured_by_their_own_change() -> None:
    found = compare(after(mean=12.0), after(mean=14.0), START, PARAMETERS)
    assert (found.parameter, found.largest) == ("norm.running_mean", 2.0)
    assert found.distance == pytest.approx(2 / math.hypot(4, 3))


@pytest.mark.parametrize("changed", [{"batches": 4}, {"mean": 11.0 + 2**-20}], ids=str)
def test_a_single_bit_is_a_difference(changed: dict[str, float]) -> None:
    found = compare(after(), after(**changed), START, PARAMETERS)
    assert not found.identical
    assert found.distance > 0


def test_a_zero_of_the_other_sign_is_another_bit_and_no_distance() -> None:
    found = compare({"w": torch.tensor([0.0])}, {"w": torch.tensor([-0.0])}, {"w": torch.tensor([1.0])}, ["w"])
    assert (found.identical, found.parameter, found.distance) == (False, "w", 0.0)


def test_a_difference_where_training_has_changed_nothing_is_infinite() -> None:
    assert compare(after(), START, START, PARAMETERS).distance == math.inf


@given(st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=4), st.floats(0.125, 8, width=32))
def test_the_distance_grows_with_the_difference_and_not_with_the_scale(moved: list[float], scale: float) -> None:
    start = {"w": torch.zeros(4, dtype=torch.float64)}
    other = {"w": torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64)}
    near = {"w": other["w"] + torch.tensor(moved, dtype=torch.float64)}
    distance = compare(near, other, start, ["w"]).distance
    scaled = compare({"w": near["w"] * scale}, {"w": other["w"] * scale}, start, ["w"]).distance
    assert scaled == pytest.approx(distance)
    twice = compare({"w": other["w"] + 2 * (near["w"] - other["w"])}, other, start, ["w"]).distance
    assert twice == pytest.approx(2 * distance)

"""Losses of classes and numbers, with and without weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.unit.gangs import make_task
from torch.nn import functional as F

from sparkweave.data.batches import Batch
from sparkweave.data.scale import Scale
from sparkweave.strategies import AllReduce
from sparkweave.training.losses import correct_of, loss_of, loss_unit
from sparkweave.training.task import SegmentTask

OUTPUT = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])
CLASSES = Batch(torch.zeros(3, 1), torch.tensor([0, 2, 1]))
NUMBERS = Batch(torch.zeros(3, 1), torch.tensor([110.0, 90.0, 130.0]))


def make_number_task(loss: str = "auto") -> SegmentTask:
    task = make_task(AllReduce(), (3,), loss=loss)
    return dataclasses.replace(task, labels=(), target=Scale(mean=100.0, deviation=10.0))


def test_classes_are_measured_by_cross_entropy() -> None:
    task = make_task(AllReduce(), (3,), label_smoothing=0.1)
    assert loss_of(OUTPUT, CLASSES, task) == F.cross_entropy(OUTPUT, CLASSES.targets, label_smoothing=0.1)
    assert loss_unit(task) == 1
    assert correct_of(OUTPUT, CLASSES) == 1


def test_equal_weights_change_nothing() -> None:
    task = dataclasses.replace(make_task(AllReduce(), (3,)), mean_weight=7.0)
    weighted = dataclasses.replace(CLASSES, weights=torch.full((3,), 7.0))
    torch.testing.assert_close(loss_of(OUTPUT, weighted, task), loss_of(OUTPUT, CLASSES, task))


def test_a_weight_of_2_is_an_example_that_comes_twice() -> None:
    task = dataclasses.replace(make_task(AllReduce(), (3,)), mean_weight=4 / 3)
    weighted = dataclasses.replace(CLASSES, weights=torch.tensor([1.0, 2.0, 1.0]))
    twice = torch.tensor([0, 1, 1, 2])
    expected = F.cross_entropy(OUTPUT[twice], CLASSES.targets[twice])
    torch.testing.assert_close(loss_of(OUTPUT, weighted, task), expected)


@pytest.mark.parametrize(("loss", "expected", "unit"), [("auto", 2 / 3, 100), ("mse", 2 / 3, 100), ("l1", 2 / 3, 10)])
def test_numbers_are_learnt_standardized_and_told_in_their_own_unit(loss: str, expected: float, unit: float) -> None:
    task = make_number_task(loss)
    output = torch.tensor([[1.0], [0.0], [2.0]])  # 110, 100, 120
    assert loss_of(output, NUMBERS, task).item() == pytest.approx(expected)
    assert loss_unit(task) == unit
    assert correct_of(output, NUMBERS) == 0

"""Means that are sent in two bytes a number."""

from __future__ import annotations

import torch

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.strategies.low_precision import LowPrecisionMean


def test_changes_far_below_the_precision_of_what_they_change_are_kept() -> None:
    def work(collective: Collective) -> tuple[float, int]:
        tensor = torch.full((8,), 1024.0)
        mean = LowPrecisionMean([tensor], collective)
        for _ in range(10):
            tensor += 0.25 * (1 + 2 * collective.rank)
            mean.average([tensor], 1, 2)
        return tensor[0].item(), collective.bytes_sent

    one, other = run_gang(2, work)
    assert one == other == (1024.0 + 10 * 0.5, 10 * 8 * 2)


def test_a_tensor_that_comes_later_began_as_zero_and_one_without_examples_takes_the_mean() -> None:
    def work(collective: Collective) -> list[float]:
        first = torch.full((1,), 3.0)
        mean = LowPrecisionMean([first], collective)
        second = torch.full((1,), float("nan") if collective.rank == 0 else 5.0)
        mean.average([first, second], collective.rank, 1)
        return [first.item(), second.item()]

    assert run_gang(2, work) == [[3.0, 5.0]] * 2


def test_another_start_can_be_set() -> None:
    def work(collective: Collective) -> float:
        tensor = torch.zeros(1)
        mean = LowPrecisionMean([tensor], collective)
        mean.average([tensor], 1, 2)
        tensor.fill_(7.0)
        mean.keep([tensor])
        mean.average([tensor], 1, 2)
        return tensor.item()

    assert run_gang(2, work) == [7.0, 7.0]

"""Minibatches, and preparing them ahead."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.data.batches import Batch, Normalization, ahead, epoch_batches
from sparkweave.data.schedule import Schedule, permutation
from sparkweave.data.shard import Shard

CPU = torch.device("cpu")


def numbered(examples: int) -> Shard:
    """A shard whose images and labels are their numbers, arrived backwards."""
    pixels = np.arange(examples, dtype=np.uint8)[::-1, None, None, None].repeat(2, axis=1).repeat(3, axis=2)
    return Shard(np.ascontiguousarray(pixels), np.arange(examples)[::-1].copy(), np.arange(examples)[::-1].copy())


def batches_of(examples: int, bounds: list[int], order: Any = None, augment: Any = None) -> Iterator[Batch]:
    return epoch_batches(
        numbered(examples),
        np.arange(examples) if order is None else order,
        bounds,
        normalization=Normalization((0.0,), (1 / 255,)),
        device=CPU,
        augment=augment,
        generator=np.random.default_rng(0),
    )


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=3).filter(any), batch_size=st.integers(1, 16))
def test_an_epochs_batches_hold_each_example_once(sizes: list[int], batch_size: int) -> None:
    schedule = Schedule(tuple(sizes), batch_size)
    for rank, size in enumerate(sizes):
        order = permutation(size, seed=0, epoch=1, rank=rank)
        batches = list(batches_of(size, schedule.bounds(rank), order))
        assert len(batches) == schedule.steps
        assert max(len(batch) for batch in batches) <= batch_size
        assert torch.cat([batch.targets for batch in batches]).tolist() == order.tolist()
        assert all((batch.inputs == batch.targets[:, None, None, None]).all() for batch in batches)


def test_batches_are_floats_laid_out_as_channels_last() -> None:
    shard = Shard(np.zeros((4, 5, 6, 3), np.uint8), np.zeros(4, np.int64), np.arange(4))
    normalization = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (batch,) = epoch_batches(
        shard, np.arange(4), [0, 4], normalization=normalization, device=CPU, generator=np.random.default_rng(0)
    )
    assert batch.inputs.shape == (4, 3, 5, 6)
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.dtype == torch.int64


def test_normalization_is_of_each_channel() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    images = Normalization((0.5, 0.2, 0.0), (0.25, 1.0, 0.5))(pixels)
    assert images.flatten().tolist() == pytest.approx([-2.0, 0.0, 2.0], abs=1e-6)


@given(st.integers(0, 255), st.floats(0, 1), st.floats(0.01, 1))
def test_normalization_is_what_its_formula_says(pixel: int, mean: float, deviation: float) -> None:
    image = Normalization((mean,), (deviation,))(torch.full((1, 1, 1, 1), pixel, dtype=torch.uint8))
    assert image.item() == pytest.approx((pixel / 255 - mean) / deviation, rel=1e-4, abs=1e-4)


def test_augmentation_gets_bytes_and_one_generator_for_the_epoch() -> None:
    seen = []

    def augment(pixels: Any, generator: np.random.Generator) -> Any:
        seen.append((pixels.dtype, len(pixels), generator.integers(2**60)))
        return pixels + 1

    batches = list(batches_of(6, [0, 2, 2, 6], augment=augment))
    assert [(dtype, count) for dtype, count, _ in seen] == [(np.uint8, 2), (np.uint8, 4)]
    assert seen[0][2] != seen[1][2]
    assert [len(batch) for batch in batches] == [2, 0, 4]
    assert batches[2].inputs[:, 0, 0, 0].tolist() == [3, 4, 5, 6]


def prefetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sparkweave-prefetch"]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_items_come_in_order_whatever_is_prepared_ahead(count: int) -> None:
    with ahead(iter(range(20)), count) as items:
        assert list(items) == list(range(20))
    assert prefetchers() == []


def test_no_more_than_asked_for_is_prepared_ahead() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with ahead(make(), 3) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(made) == 5  # the one taken, three in the queue, one that waits for a place there


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_is_raised_where_the_item_would_have_been_used(count: int) -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("made on purpose")

    with ahead(make(), count) as items:
        assert next(items) == 1
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            next(items)
    assert prefetchers() == []


def test_leaving_early_stops_the_thread() -> None:
    with ahead(itertools.count(), 2) as items:
        next(items)
        assert len(prefetchers()) == 1
    assert prefetchers() == []


def test_an_error_of_the_user_stops_the_thread() -> None:
    with pytest.raises(KeyError), ahead(itertools.count(), 2):
        raise KeyError
    assert prefetchers() == []

"""Minibatches of a shard: gathered from the memory map, augmented, converted, and prepared ahead of the step."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from sparkweave.data.shard import Shard

T = TypeVar("T")
Augment = Callable[[npt.NDArray[np.uint8], np.random.Generator], npt.NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Pixels to the network's input: ``(pixel / 255 - mean) / deviation`` for each channel.

    Attributes:
        mean: Of each channel, on the scale of [0, 1].
        deviation: Of each channel, on the scale of [0, 1].
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, C) to float32 (N, C, H, W), laid out as channels_last."""
        scale = torch.tensor([1 / (255 * deviation) for deviation in self.deviation], device=pixels.device)
        shift = torch.tensor(
            [-mean / deviation for mean, deviation in zip(self.mean, self.deviation, strict=True)], device=pixels.device
        )
        return pixels.to(torch.float32).mul_(scale).add_(shift).permute(0, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class Batch:
    """One step's examples.

    Attributes:
        images: float32 (N, C, H, W), channels_last.
        labels: int64 (N,).
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


def epoch_batches(
    shard: Shard,
    order: npt.NDArray[np.int64],
    bounds: Sequence[int],
    *,
    normalization: Normalization,
    device: torch.device,
    augment: Augment | None = None,
    generator: np.random.Generator,
) -> Iterator[Batch]:
    """The batches of one epoch; some can be empty where the shard is small.

    Args:
        shard: The worker's examples.
        order: The epoch's permutation of the shard.
        bounds: Where each batch begins and ends in ``order``, see `Schedule.bounds`.
        normalization: Of the pixels.
        device: Where the batches go.
        augment: Applied to the uint8 pixels (N, H, W, C).
        generator: Of the augmentation's random numbers.
    """
    positions = shard.order[order]
    for start, stop in itertools.pairwise(bounds):
        chosen = positions[start:stop]
        pixels = np.take(shard.pixels, chosen, axis=0)
        if augment is not None and len(chosen):
            pixels = augment(pixels, generator)
        images = torch.from_numpy(pixels).to(device, non_blocking=True)
        labels = torch.from_numpy(shard.labels[chosen]).to(device, non_blocking=True)
        yield Batch(normalization(images), labels)


@contextlib.contextmanager
def ahead(items: Iterator[T], count: int) -> Generator[Iterator[T]]:
    """Prepares up to ``count`` of ``items`` in a thread of its own, ahead of their use.

    What the preparation raises is raised where the item would have been used. Leaving the context stops the thread.
    """
    if count == 0:
        yield items
        return
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((item, error), timeout=0.1)
                return

    def prepare() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:  # noqa: BLE001 - raised where the item would have been used
            put(None, error)

    thread = threading.Thread(target=prepare, name="sparkweave-prefetch", daemon=True)
    thread.start()
    try:
        yield _take(ready)
    finally:
        stopped.set()
        thread.join()


def _take(ready: queue.Queue[tuple[T | None, BaseException | None]]) -> Iterator[T]:
    while True:
        item, error = ready.get()
        if isinstance(error, StopIteration):
            return
        if error is not None:
            raise error
        yield item  # type: ignore[misc]

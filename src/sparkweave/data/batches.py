"""Minibatches of a shard: gathered from the memory map, augmented, converted, and prepared ahead of the step."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from sparkweave.data.shard import Shard

T = TypeVar("T")
Augment = Callable[[npt.NDArray[np.uint8], np.random.Generator], npt.NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Examples to the network's input: ``(value - mean) / deviation``, where pixels count as 0 to 1.

    Attributes:
        mean: Of each channel, or of each of a vector's numbers.
        deviation: Likewise.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, C) to float32 (N, C, H, W), laid out as channels_last; float32 (N, numbers) to the same."""
        if inputs.ndim == 2:
            # The difference first: it is small where both numbers are large.
            mean, deviation = (torch.tensor(values, device=inputs.device) for values in (self.mean, self.deviation))
            return inputs.sub(mean).div_(deviation)
        scale = torch.tensor([1 / (255 * deviation) for deviation in self.deviation], device=inputs.device)
        shift = torch.tensor(
            [-mean / deviation for mean, deviation in zip(self.mean, self.deviation, strict=True)], device=inputs.device
        )
        return inputs.to(torch.float32).mul_(scale).add_(shift).permute(0, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class Batch:
    """One step's examples.

    Attributes:
        inputs: float32 (N, C, H, W), channels_last, or (N, numbers).
        targets: int64 (N,) classes, or float32 (N,) numbers.
        weights: float32 (N,), or None where all weigh the same.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)


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
        normalization: Of the inputs.
        device: Where the batches go.
        augment: Applied to images' uint8 pixels (N, H, W, C).
        generator: Of the augmentation's random numbers.
    """
    positions = shard.order[order]

    def moved(values: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values).to(device, non_blocking=True)

    for start, stop in itertools.pairwise(bounds):
        chosen = positions[start:stop]
        inputs = np.take(shard.inputs, chosen, axis=0)
        if augment is not None and len(chosen):
            inputs = augment(inputs, generator)
        weights = None if shard.weights is None else moved(shard.weights[chosen])
        yield Batch(normalization(moved(inputs)), moved(shard.targets[chosen]), weights)


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

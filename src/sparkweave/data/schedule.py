"""Which examples each worker takes at each step: pure functions of the shards' sizes and the seed.

Shards are never quite equal, yet every worker must make the same number of steps and use each example exactly once.
So a worker cuts its shuffled shard into as many even batches as the largest shard needs; none is over the batch size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The steps of one epoch on all workers.

    Attributes:
        sizes: Examples of each worker's shard, by rank.
        batch_size: The most examples a worker takes in a step.
    """

    sizes: tuple[int, ...]
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of an epoch, the same for all workers."""
        return -(-max(self.sizes) // self.batch_size)

    def bounds(self, rank: int) -> list[int]:
        """Where each batch of ``rank`` begins and ends in its shuffled shard: ``steps + 1`` positions."""
        steps = self.steps
        return [step * self.sizes[rank] // steps for step in range(steps + 1)] if steps else [0]

    def totals(self) -> list[int]:
        """All workers' examples together, by step."""
        bounds = [self.bounds(rank) for rank in range(len(self.sizes))]
        return [sum(b[step + 1] - b[step] for b in bounds) for step in range(self.steps)]


def generator(seed: int, purpose: str, epoch: int, rank: int) -> np.random.Generator:
    """A random generator of its own for each purpose, epoch and rank, so that any epoch can be run again alone."""
    return np.random.default_rng([seed, epoch, rank, *purpose.encode()])


def permutation(examples: int, *, seed: int, epoch: int, rank: int) -> npt.NDArray[np.int64]:
    """The order of a shard's examples in ``epoch``."""
    return generator(seed, "shuffle", epoch, rank).permutation(examples)


def merge_sizes(counts: Sequence[tuple[int, int]], workers: int) -> tuple[int, ...]:
    """The shards' sizes from ``(rank, examples)`` of their blocks."""
    sizes = [0] * workers
    for rank, examples in counts:
        sizes[rank] += examples
    return tuple(sizes)

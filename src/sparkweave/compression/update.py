"""What one worker sends of an update: a few entries of one size, or all of them as they are."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Signs = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class SparseUpdate:
    """Some entries change by plus or minus ``threshold``, all others don't.

    Attributes:
        size: Entries altogether.
        threshold: A `usable_threshold`.
        indices: int64 (count,), strictly increasing, of the entries that change.
        negative: bool (count,), whether each falls.
    """

    size: int
    threshold: float
    indices: Indices
    negative: Signs

    @property
    def count(self) -> int:
        """Entries that are sent."""
        return len(self.indices)

    @cached_property
    def gaps(self) -> Indices:
        """How far each of ``indices`` is from the one before, at least 1; the first from -1."""
        return np.diff(self.indices, prepend=-1)

    @property
    def values(self) -> Floats:
        """What each of ``indices`` changes by."""
        step = np.float32(self.threshold)
        return np.where(self.negative, -step, step)


@dataclasses.dataclass(frozen=True)
class DenseUpdate:
    """Every entry changes by a value of its own.

    Attributes:
        values: float32 (size,).
    """

    values: Floats

    @property
    def size(self) -> int:
        """Entries altogether."""
        return len(self.values)

    @property
    def count(self) -> int:
        """Entries that are sent: all."""
        return len(self.values)


Update = SparseUpdate | DenseUpdate


def apply(update: Update, target: Floats) -> None:
    """Adds ``update`` to ``target``, float32 (size,), in place."""
    if isinstance(update, DenseUpdate):
        target += update.values
    else:
        target[update.indices] += update.values

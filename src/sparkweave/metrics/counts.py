"""Counts that come from elsewhere, checked: a saved evaluation may be a stranger's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError

LARGEST = 1 << 44
"""Of one count; sums of many such counts still fit into 64 bits."""


def as_counts(values: Any, *, name: str, shape: tuple[int, ...], largest: int = LARGEST) -> npt.NDArray[np.int64]:
    """``values`` as an array of whole numbers from 0 to ``largest``.

    Raises:
        ConfigError: if they are something else.
    """
    try:
        array = np.array(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"{name} are not counts: {error}") from error
    if array.size == 0:
        array = array.astype(np.int64)
    if array.shape != shape or array.dtype != np.int64 or (array < 0).any() or (array > largest).any():
        raise ConfigError(
            f"{name} are of shape {array.shape} and type {array.dtype}; the rule is {shape}, whole numbers from 0 to {largest:,}"
        )
    return array

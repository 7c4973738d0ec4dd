"""Strategies of hypothesis for updates and residuals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sparkweave.compression.quantize import usable_threshold
from sparkweave.compression.update import SparseUpdate

SIZES = st.integers(0, 1000)
THRESHOLDS = st.floats(1e-12, 1e6).map(usable_threshold)


@st.composite
def sparse_updates(draw: st.DrawFn) -> SparseUpdate:
    """Of any density, in runs and clusters too."""
    size = draw(SIZES)
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0]))
    changed = generator.random(size) < density * np.linspace(*draw(st.sampled_from([(1, 1), (2, 0), (0, 4)])), size)
    indices = np.flatnonzero(changed)
    return SparseUpdate(size, draw(THRESHOLDS), indices, generator.random(len(indices)) < 0.5)


def residuals() -> st.SearchStrategy[npt.NDArray[np.float32]]:
    """Any finite float32 values, small ones mostly."""
    ordinary = st.floats(-(2.0**-6), 2.0**-6, width=32)
    anything = st.floats(allow_nan=False, allow_infinity=False, width=32)
    return arrays.arrays(np.float32, st.integers(0, 60), elements=ordinary | anything)


def equal(one: SparseUpdate, other: object) -> bool:
    """Whether both say the same."""
    return (
        isinstance(other, SparseUpdate)
        and (one.size, one.threshold) == (other.size, other.threshold)
        and np.array_equal(one.indices, other.indices)
        and np.array_equal(one.negative, other.negative)
    )

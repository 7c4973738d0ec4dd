"""Mean and deviation of numbers to be predicted: networks learn them standardized."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """Of the training examples' targets.

    Attributes:
        mean: In the targets' own unit.
        deviation: Likewise; never 0.
    """

    mean: float
    deviation: float

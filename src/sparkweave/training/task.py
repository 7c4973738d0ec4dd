"""What one worker is to do in one segment: plain data that travels with the Spark task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Normalization
from sparkweave.data.blocks import Shape
from sparkweave.data.scale import Scale
from sparkweave.data.schedule import Schedule
from sparkweave.strategies.base import Strategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentTask:
    """The epochs ``first_epoch`` to ``last_epoch`` (both included) of a run.

    Attributes:
        network: What `sparkweave.networks.describe_network` returned.
        allow_code: Whether the network may be built by the user's own code.
        input_shape: (channels, height, width) of images, (numbers,) of vectors.
        labels: In the order of the classes; empty where numbers are to be predicted.
        sizes: Examples of each worker's shard.
        normalization: Of the inputs.
        strategy: Keeps the workers' networks the same.
        config: The run's options.
        target: Of the numbers to be predicted, or None.
        mean_weight: Of the examples' weights, or None where they have none.
    """

    network: Mapping[str, Any]
    allow_code: bool
    input_shape: Shape
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    normalization: Normalization
    strategy: Strategy
    config: TrainingConfig
    first_epoch: int
    last_epoch: int
    target: Scale | None = None
    mean_weight: float | None = None

    @property
    def outputs(self) -> int:
        """That the network has."""
        return len(self.labels) or 1

    @property
    def schedule(self) -> Schedule:
        """Who takes which examples at which step."""
        return Schedule(self.sizes, self.config.batch_size)

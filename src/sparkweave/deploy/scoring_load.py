"""What scoring takes, as a workload of the memory plan: reckoned, since no step is trained that could be measured."""

from __future__ import annotations

import math

from sparkweave.deploy.footprint import Footprint
from sparkweave.deploy.memory_plan import Workload
from sparkweave.deploy.memory_size import MIB

_DAEMON = 45 * MIB
_BASE = 700 * MIB
"""Python, torch and what a scoring worker imports: 630 MiB measured."""

_MODEL_COPIES = 3  # as bytes, as tensors, in the network
_NUMBERS_A_PIXEL = 80
"""Float32 numbers that are alive at once: the built-in `resnet` takes 71 to 79 at 32x32 to 224x224, its 64 channels most of them."""


def scoring_load(*, model_bytes: int, shape: tuple[int, ...], workers: int, batch_rows: int) -> Workload:
    """A model's network in each worker, and one batch that goes through it. Nothing of it is a state that comes back.

    Args:
        model_bytes: Of the weights; 0 where no model is used.
        shape: (channels, height, width) of the images, or (numbers,) of the vectors.
        workers: Tasks that run at once.
        batch_rows: Examples that go through the network at once.
    """
    numbers = _NUMBERS_A_PIXEL * math.prod(shape[-2:]) * batch_rows
    footprint = Footprint(
        daemon=_DAEMON,
        base=_BASE,
        parameters=model_bytes,
        gradients=0,
        optimizer=0,
        strategy=0,
        shared_state=model_bytes,
        peaks=((1, _MODEL_COPIES * model_bytes + 4 * numbers),),
    )
    return Workload(
        footprint=footprint,
        batch_size=1,
        prefetch=0,
        images=0,
        shape=shape,
        workers=workers,
        largest_shard=0,
        scores=True,
    )

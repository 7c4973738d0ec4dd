"""A run's events as the named numbers that tools for experiments keep: the same names in all of them.

==============================  ====================================================================
name                            what it is
==============================  ====================================================================
``train/loss``                  mean over the epoch's examples
``train/accuracy``              likewise; not where numbers are predicted
``train/learning_rate``         at the end of the epoch
``train/images_per_second``     of all workers together
``train/seconds``               the epoch's length
``train/bytes_sent``            by the workers, in the epoch
``test/loss``                   of an evaluation
``test/accuracy``               likewise; not where numbers are predicted
==============================  ====================================================================

Each stands at the number of the epoch. What is not a finite number is left out: not all tools can keep it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from sparkweave.events import EpochEnded, Evaluated, RunStarted

_OF_EPOCHS = ("loss", "accuracy", "learning_rate", "images_per_second", "seconds", "bytes_sent")
_OF_EVALUATIONS = ("loss", "accuracy")
_NO_PARAMETERS = ("first_epoch", "bad_reasons")


def figures(event: EpochEnded | Evaluated) -> dict[str, float]:
    """The figures of an event by name.

    Example:
        >>> figures(Evaluated(epoch=3, accuracy=math.nan, loss=0.5, examples=10, seconds=1.0))
        {'test/loss': 0.5}
    """
    group, names = ("train", _OF_EPOCHS) if isinstance(event, EpochEnded) else ("test", _OF_EVALUATIONS)
    values = {f"{group}/{name}": float(getattr(event, name)) for name in names}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def parameters(event: RunStarted, given: Mapping[str, object]) -> dict[str, str]:
    """What the run was asked to do, as text by name; what the event tells wins over what the caller gave."""
    told = {name: value for name, value in dataclasses.asdict(event).items() if name not in _NO_PARAMETERS}
    return {name: str(value) for name, value in {**given, **told}.items()}

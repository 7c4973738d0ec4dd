"""Learning-rate schedules as pure functions of the progress, so that any step can be taken up again alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

_WARM_UP = 0.25


def constant(_progress: float) -> float:
    """The same all the time."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov and Hutter, https://arxiv.org/abs/1608.03983, without restarts)."""
    return (1 + math.cos(math.pi * progress)) / 2


def one_cycle(progress: float) -> float:
    """Up in a line for the first quarter, then down to 0 along half a cosine (Smith, https://arxiv.org/abs/1708.07120)."""
    if progress < _WARM_UP:
        return 0.04 + 0.96 * progress / _WARM_UP
    return cosine((progress - _WARM_UP) / (1 - _WARM_UP))


SCHEDULES: Mapping[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine, "one-cycle": one_cycle}
"""By name: the factor of the learning rate after a share ``progress`` in [0, 1] of all steps."""

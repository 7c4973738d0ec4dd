"""Where the time of measured steps went, by worker."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from sparkweave.events import StepMeasured

PARTS = ("data", "compute", "encode", "wait", "apply")
"""Of a step, in the order in which they are stacked."""

SLOW_FACTOR = 1.2
"""A worker is called slow if it is busy for so many times as long as the others are at the median."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """Seconds of each part of a step, all at least 0."""

    data: float = 0.0
    compute: float = 0.0
    encode: float = 0.0
    wait: float = 0.0
    apply: float = 0.0

    @property
    def seconds(self) -> tuple[float, ...]:
        """In the order of `PARTS`."""
        return self.data, self.compute, self.encode, self.wait, self.apply

    @property
    def total(self) -> float:
        """Of the whole step."""
        return sum(self.seconds)

    @property
    def busy(self) -> float:
        """Without waiting for others: what a slow worker has more of, while the others wait."""
        return self.total - self.wait

    def share(self, part: str) -> float:
        """Of the step's time, from 0 to 1."""
        seconds: float = getattr(self, part)
        return seconds / self.total if self.total > 0 else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerProfile:
    """One worker's measured steps: means a step; ``slowness`` is how many times as long as the others it is busy, at the median."""

    rank: int
    host: str
    steps: int
    split: Split
    bytes_sent: float
    bytes_received: float
    slowness: float = 1.0

    @property
    def is_slow(self) -> bool:
        """Whether it is busy for `SLOW_FACTOR` times as long as the others, at least."""
        return self.slowness >= SLOW_FACTOR


def split_of(step: StepMeasured) -> Split:
    """What is missing or negative counts as nothing."""
    return Split(
        data=_positive(step.data_seconds),
        compute=_positive(step.compute_seconds),
        encode=_positive(step.encode_seconds),
        wait=_positive(step.wait_seconds),
        apply=_positive(step.apply_seconds),
    )


def mean_split(splits: Sequence[Split]) -> Split:
    """The mean of each part; of none it is zero."""
    count = max(1, len(splits))
    return Split(**{part: math.fsum(getattr(split, part) for split in splits) / count for part in PARTS})


def profiles(steps: Iterable[StepMeasured]) -> list[WorkerProfile]:
    """One for each worker, by rank."""
    by_rank: dict[int, list[StepMeasured]] = {}
    for step in steps:
        by_rank.setdefault(step.rank, []).append(step)
    # The median: a worker's first step, which warms up, says little of the others.
    busy = {rank: statistics.median(split_of(step).busy for step in of_rank) for rank, of_rank in by_rank.items()}
    return [_profile(rank, by_rank[rank], _slowness(rank, busy)) for rank in sorted(by_rank)]


def slowest(found: Sequence[WorkerProfile], *, at_most: int) -> list[WorkerProfile]:
    """The workers that are busy longest, by rank again."""
    longest = sorted(found, key=lambda profile: -profile.split.busy)[:at_most]
    return sorted(longest, key=lambda profile: profile.rank)


def _profile(rank: int, steps: Sequence[StepMeasured], slowness: float) -> WorkerProfile:
    hosts = list(dict.fromkeys(step.host for step in steps))
    return WorkerProfile(
        rank=rank,
        host=", ".join(hosts[:2]) + (f" and {len(hosts) - 2} more" if len(hosts) > 2 else ""),
        steps=len(steps),
        split=mean_split([split_of(step) for step in steps]),
        bytes_sent=_mean(steps, lambda step: step.bytes_sent),
        bytes_received=_mean(steps, lambda step: step.bytes_received),
        slowness=slowness,
    )


def _slowness(rank: int, busy: Mapping[int, float]) -> float:
    others = [seconds for other, seconds in busy.items() if other != rank]
    usual = statistics.median(others) if others else 0.0
    return busy[rank] / usual if usual > 0 else 1.0


def _mean(steps: Sequence[StepMeasured], value: Callable[[StepMeasured], float]) -> float:
    return math.fsum(max(0.0, value(step)) for step in steps) / len(steps)


def _positive(seconds: float) -> float:
    return seconds if seconds > 0 else 0.0  # nor is NaN

"""Synchronous data parallelism: gradients are averaged at every step, so the workers train as one with a larger batch.

The most accurate and the most talkative strategy: it sends every gradient at every step.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from sparkweave.distributed.collective import Collective
from sparkweave.strategies.averaging import agree, average
from sparkweave.strategies.base import Replica
from sparkweave.strategies.flat import FlatTensors, flatten, flatten_like


@dataclasses.dataclass(frozen=True)
class AllReduce:
    """Averages the gradients of all workers, weighted by their examples, before each optimizer step."""

    name: ClassVar[str] = "all-reduce"

    @property
    def keeps_optimizer(self) -> bool:
        """The optimizer sees the same gradients everywhere."""
        return True

    def synchronizer(self, replica: Replica, collective: Collective) -> _AllReduceSynchronizer:
        """See `Strategy.synchronizer`."""
        return _AllReduceSynchronizer(replica, collective)


class _AllReduceSynchronizer:
    def __init__(self, replica: Replica, collective: Collective) -> None:
        self._replica = replica
        self._collective = collective
        self._gradients: FlatTensors | None = None
        self._examples = 0
        self._total = 0

    def gradients_ready(self, examples: int, total: int) -> None:
        self._examples += examples
        self._total += total
        if self._collective.world_size > 1:
            self._average_gradients(examples, total)

    def step_ended(self, examples: int, total: int) -> None:
        pass

    def epoch_ended(self) -> None:
        if self._collective.world_size > 1:
            statistics = flatten(self._replica.statistics(), self._collective)
            average(statistics.buffers, self._examples, self._total, self._collective)
            agree(self._replica.counters(), self._collective)
        self._examples = self._total = 0

    def _average_gradients(self, examples: int, total: int) -> None:
        parameters = self._replica.parameters()
        if self._gradients is None:
            self._gradients = flatten_like(parameters, self._collective)
        for parameter, view in zip(parameters, self._gradients.views, strict=True):
            if parameter.grad is None:
                view.zero_()
            else:
                view.copy_(parameter.grad)
            parameter.grad = view
        average(self._gradients.buffers, examples, total, self._collective)

"""Local SGD: workers train alone for some steps, then replace their parameters by the mean over all workers.

It sends the parameters once in ``averaging_frequency`` steps, at a price in accuracy that grows with the frequency.
Source: Zinkevich et al., Parallelized Stochastic Gradient Descent (2010); Stich, Local SGD Converges Fast and Communicates
Little, https://arxiv.org/abs/1805.09767. Deeplearning4j calls it ParameterAveragingTrainingMaster.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from sparkweave.config import require_at_least
from sparkweave.distributed.collective import Collective
from sparkweave.strategies.averaging import agree, average
from sparkweave.strategies.base import Replica
from sparkweave.strategies.flat import flatten


@dataclasses.dataclass(frozen=True)
class ParameterAveraging:
    """Averages the parameters of all workers, weighted by the examples each has seen since the last time.

    BatchNorm's running statistics are averaged with them. The end of an epoch is always an averaging.

    Attributes:
        averaging_frequency: Steps between two averagings.
        save_optimizer: Average the optimizer's state too, and keep it in checkpoints and models. Otherwise each worker
            keeps its own, which is not sent, and starts every epoch with a fresh one.

    Raises:
        ConfigError: if ``averaging_frequency`` isn't a whole number of at least 1.
    """

    averaging_frequency: int = 5
    save_optimizer: bool = True
    name: ClassVar[str] = "parameter-averaging"

    def __post_init__(self) -> None:
        require_at_least("averaging_frequency", self.averaging_frequency, 1)

    @property
    def keeps_optimizer(self) -> bool:
        """As asked for."""
        return self.save_optimizer

    def synchronizer(self, replica: Replica, collective: Collective) -> _AveragingSynchronizer:
        """See `Strategy.synchronizer`."""
        return _AveragingSynchronizer(self, replica, collective)


class _AveragingSynchronizer:
    def __init__(self, options: ParameterAveraging, replica: Replica, collective: Collective) -> None:
        self._options = options
        self._replica = replica
        self._collective = collective
        self._flat: list[torch.Tensor] = []
        self._flattened = 0
        self._steps = 0
        self._examples = 0
        self._total = 0

    def gradients_ready(self, examples: int, total: int) -> None:
        pass

    def step_ended(self, examples: int, total: int) -> None:
        self._steps += 1
        self._examples += examples
        self._total += total
        if self._steps == self._options.averaging_frequency:
            self._average()

    def epoch_ended(self) -> None:
        if self._steps:
            self._average()
        if self._collective.world_size > 1:
            agree(self._replica.counters(), self._collective)

    def _average(self) -> None:
        if self._collective.world_size > 1:
            average(self._buffers(), self._examples, self._total, self._collective)
        self._steps = self._examples = self._total = 0

    def _buffers(self) -> list[torch.Tensor]:
        """The flat buffers, made anew when the optimizer has created its state, which it does at its first step."""
        tensors: list[torch.Tensor] = [*self._replica.parameters(), *self._replica.statistics()]
        if self._options.save_optimizer:
            tensors += self._replica.optimizer_tensors()
        if len(tensors) != self._flattened:
            self._flat = flatten(tensors, self._collective).buffers
            self._flattened = len(tensors)
        return self._flat

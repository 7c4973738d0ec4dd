"""Local SGD: workers train alone for some steps, then replace their parameters by the mean over all workers.

It sends the parameters once in ``averaging_frequency`` steps, at a price in accuracy that grows with the frequency.
Source: Zinkevich et al., Parallelized Stochastic Gradient Descent (2010); Stich, Local SGD Converges Fast and Communicates
Little, https://arxiv.org/abs/1805.09767. Deeplearning4j calls it ParameterAveragingTrainingMaster.

With an outer optimizer, the step from one mean to the next is taken as a gradient, and a second optimizer makes its own step of
it: Douillard et al., DiLoCo, https://arxiv.org/abs/2311.08105. So averaging may be hundreds of steps apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from sparkweave.config import require_at_least, require_choice, require_positive
from sparkweave.distributed.collective import Collective
from sparkweave.errors import ConfigError
from sparkweave.strategies.averaging import agree, average
from sparkweave.strategies.base import NOTHING, Costs, OptimizerState, Replica, Sparsity
from sparkweave.strategies.flat import flatten
from sparkweave.strategies.low_precision import LowPrecisionMean
from sparkweave.strategies.outer import OuterStep

OUTER_OPTIMIZERS = ("none", "nesterov")
AVERAGING_PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ParameterAveraging:
    """Averages the parameters of all workers, weighted by the examples each has seen since the last time.

    BatchNorm's running statistics are averaged with them. The end of an epoch is always an averaging.

    Attributes:
        averaging_frequency: Steps between two averagings.
        save_optimizer: Average the optimizer's state too, and keep it in checkpoints and models. Otherwise each worker
            keeps its own, which is not sent, and starts every epoch with a fresh one.
        outer_optimizer: ``none``, or ``nesterov``: SGD with Nesterov momentum on the parameters' change since the last averaging.
        outer_learning_rate: Of the outer optimizer.
        outer_momentum: Of the outer optimizer, in [0, 1).
        averaging_precision: ``float32``, or ``bfloat16``: what changed since the last averaging is sent in two bytes a number.

    Raises:
        ConfigError: if an option breaks its rule.
    """

    averaging_frequency: int = 5
    save_optimizer: bool = True
    outer_optimizer: str = "none"
    outer_learning_rate: float = 0.7
    outer_momentum: float = 0.9
    averaging_precision: str = "float32"
    name: ClassVar[str] = "parameter-averaging"

    def __post_init__(self) -> None:
        require_at_least("averaging_frequency", self.averaging_frequency, 1)
        require_choice("outer_optimizer", self.outer_optimizer, OUTER_OPTIMIZERS)
        require_choice("averaging_precision", self.averaging_precision, AVERAGING_PRECISIONS)
        require_positive("outer_learning_rate", self.outer_learning_rate)
        require_positive("outer_momentum", self.outer_momentum)
        if self.outer_momentum >= 1:
            raise ConfigError(f"outer_momentum is {self.outer_momentum}; it must be less than 1")

    @property
    def optimizer_state(self) -> OptimizerState:
        """As asked for."""
        return "shared" if self.save_optimizer else "fresh"

    def synchronizer(
        self,
        replica: Replica,
        collective: Collective,
        *,
        shared: Mapping[str, torch.Tensor] = NOTHING,
        local: Mapping[str, Any] = NOTHING,
    ) -> _AveragingSynchronizer:
        """See `Strategy.synchronizer`."""
        return _AveragingSynchronizer(self, replica, collective, shared)


class _AveragingSynchronizer:
    def __init__(
        self,
        options: ParameterAveraging,
        replica: Replica,
        collective: Collective,
        shared: Mapping[str, torch.Tensor],
    ) -> None:
        self._options = options
        self._replica = replica
        self._collective = collective
        self._flat: list[torch.Tensor] = []
        self._flattened = 0
        self._steps = 0
        self._examples = 0
        self._total = 0
        self._low_precision = (
            LowPrecisionMean(self._tensors(), collective) if options.averaging_precision == "bfloat16" else None
        )
        self._outer = (
            OuterStep(replica, options.outer_learning_rate, options.outer_momentum, shared)
            if options.outer_optimizer == "nesterov"
            else None
        )

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

    def costs(self) -> Costs:
        return Costs.of(self._collective)

    def sparsity(self) -> Sparsity | None:
        return None

    def shared_state(self) -> Mapping[str, torch.Tensor]:
        return self._outer.state() if self._outer else NOTHING

    def local_state(self) -> Mapping[str, Any]:
        return NOTHING

    def close(self) -> None:
        pass

    def _average(self) -> None:
        if self._collective.world_size > 1:
            self._replace_by_mean()
        if self._outer:
            self._outer.step()
            if self._low_precision:
                self._low_precision.keep(self._replica.parameters())
        self._steps = self._examples = self._total = 0

    def _replace_by_mean(self) -> None:
        tensors = self._tensors()
        if self._low_precision:
            self._low_precision.average(tensors, self._examples, self._total)
            return
        # Anew when the optimizer has created its state, which it does at its first step.
        if len(tensors) != self._flattened:
            self._flat = flatten(tensors, self._collective.empty).buffers
            self._flattened = len(tensors)
        average(self._flat, self._examples, self._total, self._collective)

    def _tensors(self) -> list[torch.Tensor]:
        optimizer = self._replica.optimizer_tensors() if self._options.save_optimizer else []
        return [*self._replica.parameters(), *self._replica.statistics(), *optimizer]

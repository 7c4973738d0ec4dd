"""Synchronous data parallelism: gradients are averaged at every step, so the workers train as one with a larger batch.

The most accurate and the most talkative strategy: it sends every gradient at every step. PyTorch's own hooks send less: half the
bytes, or approximations of low rank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch

from sparkweave.config import require_at_least, require_choice
from sparkweave.distributed.collective import Collective
from sparkweave.strategies.averaging import agree, average
from sparkweave.strategies.base import NOTHING, Costs, OptimizerState, Replica, Sparsity
from sparkweave.strategies.ddp_hooks import HalfPrecision, PowerSGD
from sparkweave.strategies.flat import FlatTensors, flatten, flatten_like

COMPRESSIONS = ("none", "fp16", "bf16", "powersgd")


@dataclasses.dataclass(frozen=True)
class AllReduce:
    """Averages the gradients of all workers, weighted by their examples, before each optimizer step.

    Attributes:
        compression: How gradients are sent: ``none`` as they are, ``fp16`` and ``bf16`` in two bytes each, ``powersgd`` as
            low-rank approximations whose errors are added to the next step's gradients (Vogels et al.,
            https://arxiv.org/abs/1905.13727). All but the first are `torch.distributed.algorithms.ddp_comm_hooks`, so
            workers must be processes that `torch.distributed` connects.
        powersgd_rank: Of the approximations.

    Raises:
        ConfigError: if an option breaks its rule.
    """

    compression: str = "none"
    powersgd_rank: int = 2
    name: ClassVar[str] = "all-reduce"

    def __post_init__(self) -> None:
        require_choice("compression", self.compression, COMPRESSIONS)
        require_at_least("powersgd_rank", self.powersgd_rank, 1)

    @property
    def optimizer_state(self) -> OptimizerState:
        """The optimizer sees the same gradients everywhere."""
        return "shared"

    def synchronizer(
        self,
        replica: Replica,
        collective: Collective,
        *,
        shared: Mapping[str, torch.Tensor] = NOTHING,
        local: Mapping[str, Any] = NOTHING,
    ) -> _AllReduceSynchronizer:
        """See `Strategy.synchronizer`."""
        return _AllReduceSynchronizer(replica, collective, self._averager(replica, collective, local))

    def _averager(self, replica: Replica, collective: Collective, local: Mapping[str, Any]) -> GradientAverager:
        if self.compression == "none" or collective.world_size == 1:
            return _Dense(replica, collective)
        if self.compression == "powersgd":
            return PowerSGD(replica, collective, rank=self.powersgd_rank, local=local)
        dtype = torch.float16 if self.compression == "fp16" else torch.bfloat16
        return HalfPrecision(replica, collective, dtype)


class GradientAverager(Protocol):
    """Replaces gradients by their mean over all workers."""

    def average(self, examples: int, total: int) -> None:
        """Weighs them by ``examples`` of ``total``."""

    def local_state(self) -> Mapping[str, Any]:
        """See `Synchronizer.local_state`."""


class _Dense:
    """Sends every gradient as it is."""

    def __init__(self, replica: Replica, collective: Collective) -> None:
        self._replica = replica
        self._collective = collective
        self._gradients: FlatTensors | None = None

    def average(self, examples: int, total: int) -> None:
        if self._collective.world_size == 1:
            return
        parameters = self._replica.parameters()
        if self._gradients is None:
            self._gradients = flatten_like(parameters, self._collective.empty)
        for parameter, view in zip(parameters, self._gradients.views, strict=True):
            if parameter.grad is None:
                view.zero_()
            else:
                view.copy_(parameter.grad)
            parameter.grad = view
        average(self._gradients.buffers, examples, total, self._collective)

    def local_state(self) -> Mapping[str, Any]:
        return NOTHING


class _AllReduceSynchronizer:
    def __init__(self, replica: Replica, collective: Collective, averager: GradientAverager) -> None:
        self._replica = replica
        self._collective = collective
        self._averager = averager
        self._examples = 0
        self._total = 0

    def gradients_ready(self, examples: int, total: int) -> None:
        self._examples += examples
        self._total += total
        self._averager.average(examples, total)

    def step_ended(self, examples: int, total: int) -> None:
        pass

    def epoch_ended(self) -> None:
        if self._collective.world_size > 1:
            statistics = flatten(self._replica.statistics(), self._collective.empty)
            average(statistics.buffers, self._examples, self._total, self._collective)
            agree(self._replica.counters(), self._collective)
        self._examples = self._total = 0

    def costs(self) -> Costs:
        return Costs.of(self._collective)

    def sparsity(self) -> Sparsity | None:
        return None

    def shared_state(self) -> Mapping[str, torch.Tensor]:
        return NOTHING

    def local_state(self) -> Mapping[str, Any]:
        return self._averager.local_state()

    def close(self) -> None:
        pass

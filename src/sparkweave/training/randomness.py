"""What a network draws at random in its forward pass, and a strategy that sets it aside.

Ranks that are threads of one process share torch's generator: which of them draws which number is left to chance. So where
such ranks are compared with others, dropout is switched off in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from sparkweave.distributed.collective import Collective
from sparkweave.strategies.base import NOTHING, OptimizerState, Replica, Strategy, Synchronizer

_WITH_DROPOUT = (nn.MultiheadAttention, nn.RNNBase)


def switch_off_dropout(network: nn.Module) -> int:
    """Sets the probability of all dropout in torch's own modules to 0, and returns how many modules had one."""
    count = 0
    for module in network.modules():
        name = "p" if isinstance(module, _DropoutNd) else "dropout" if isinstance(module, _WITH_DROPOUT) else ""
        if name and getattr(module, name):
            setattr(module, name, 0.0)
            count += 1
    return count


def draws_random_numbers(network: nn.Module, input_shape: tuple[int, ...]) -> bool:
    """Whether a forward pass in training mode takes numbers from torch's generator; changes no more than batch statistics.

    Args:
        network: On the CPU.
        input_shape: (channels, height, width).
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before = torch.get_rng_state()
        network.train()(torch.zeros(2, *input_shape))
        return not torch.equal(before, torch.get_rng_state())


@dataclasses.dataclass(frozen=True)
class WithoutDropout:
    """Another strategy at work on networks whose dropout is switched off.

    Attributes:
        strategy: The other one.
    """

    strategy: Strategy
    name: ClassVar[str] = "without-dropout"

    @property
    def optimizer_state(self) -> OptimizerState:
        """The other strategy's."""
        return self.strategy.optimizer_state

    def synchronizer(
        self,
        replica: Replica,
        collective: Collective,
        *,
        shared: Mapping[str, torch.Tensor] = NOTHING,
        local: Mapping[str, Any] = NOTHING,
    ) -> Synchronizer:
        """See `Strategy.synchronizer`."""
        switch_off_dropout(replica.network)
        return self.strategy.synchronizer(replica, collective, shared=shared, local=local)

"""The contract between a strategy and the training loop."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Protocol

import torch
from torch import nn

from sparkweave.distributed.collective import Collective


@dataclasses.dataclass(frozen=True)
class Replica:
    """One worker's network and its optimizer."""

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, in the network's order."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def statistics(self) -> list[torch.Tensor]:
        """The floating-point buffers, such as BatchNorm's running mean and variance."""
        return [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]

    def counters(self) -> list[torch.Tensor]:
        """The integer buffers, such as BatchNorm's number of batches."""
        return [buffer for buffer in self.network.buffers() if not (buffer.is_floating_point() or buffer.is_complex())]

    def optimizer_tensors(self) -> list[torch.Tensor]:
        """The optimizer's floating-point tensors, such as Adam's moments, in the parameters' order.

        Scalars of parameters that are none are left out: they count steps, and all workers make the same steps.
        """
        return [
            value
            for parameter in self.parameters()
            for name, value in sorted(self.optimizer.state.get(parameter, {}).items())
            if isinstance(value, torch.Tensor) and value.is_floating_point()
            if value.dim() > 0 or (parameter.dim() == 0 and name != "step")
        ]


class Synchronizer(Protocol):
    """A strategy at work on one replica. The loop calls it on every worker at the same points.

    ``examples`` are this worker's in the step, ``total`` are all workers'; the schedule tells both beforehand, so no
    strategy has to exchange them. ``examples`` can be 0, then the gradients are zero.
    """

    def gradients_ready(self, examples: int, total: int) -> None:
        """After the backward pass, before the optimizer's step."""

    def step_ended(self, examples: int, total: int) -> None:
        """After the optimizer's step."""

    def epoch_ended(self) -> None:
        """At the end of an epoch: on return all replicas are the same, bit for bit."""


class Strategy(Protocol):
    """What the user chooses: frozen options that travel to the workers as plain data.

    Attributes:
        name: As on the command line.
        keeps_optimizer: Whether the optimizer's state is the same on all workers at the end of an epoch, and so is
            kept in checkpoints and models; otherwise every epoch starts with a fresh optimizer.
    """

    name: ClassVar[str]

    @property
    def keeps_optimizer(self) -> bool:
        """See above."""

    def synchronizer(self, replica: Replica, collective: Collective) -> Synchronizer:
        """The strategy at work on ``replica``."""

"""The contract between a strategy and the training loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import nn

from sparkweave.distributed.collective import Collective

OptimizerState = Literal["shared", "local", "fresh"]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Replica:
    """One worker's network and its optimizer."""

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, in the network's order."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def names(self) -> list[str]:
        """Their names, in the same order."""
        return [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
    """What keeping replicas the same has cost one worker so far: seconds of its training thread, and bytes.

    Attributes:
        encode_seconds: Spent on making messages.
        wait_seconds: Spent in collective operations, or waiting for one that runs beside the training.
        apply_seconds: Spent on applying what came.
        bytes_sent: See `Collective.bytes_sent`.
        bytes_received: See `Collective.bytes_received`.
    """

    encode_seconds: float = 0.0
    wait_seconds: float = 0.0
    apply_seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0

    @classmethod
    def of(cls, collective: Collective) -> Costs:
        """Of a strategy that waits for each operation, and needs no time for anything else."""
        return cls(
            wait_seconds=collective.seconds,
            bytes_sent=collective.bytes_sent,
            bytes_received=collective.bytes_received,
        )

    @property
    def seconds(self) -> float:
        """All together."""
        return self.encode_seconds + self.wait_seconds + self.apply_seconds

    def __sub__(self, earlier: Costs) -> Costs:
        own, other = dataclasses.asdict(self), dataclasses.asdict(earlier)
        return Costs(**{name: own[name] - other[name] for name in own})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparsity:
    """How little a worker sent in its last step.

    Attributes:
        sent_fraction: Of the parameters.
        threshold: What an update must exceed to be sent.
        residual_norm: The Euclidean norm of what was kept back.
    """

    sent_fraction: float
    threshold: float
    residual_norm: float


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

    def costs(self) -> Costs:
        """What it has cost so far."""

    def sparsity(self) -> Sparsity | None:
        """How little was sent last; None if everything always is."""

    def shared_state(self) -> Mapping[str, torch.Tensor]:
        """After an epoch: what the next segment needs beside the replica, the same on all workers."""

    def local_state(self) -> Mapping[str, Any]:
        """After an epoch: what the next segment needs of this worker alone; ``residual``, by parameter, belongs to the weights."""

    def close(self) -> None:
        """Ends what runs beside the training."""


class Strategy(Protocol):
    """What the user chooses: frozen options that travel to the workers as plain data.

    Attributes:
        name: As on the command line.
        optimizer_state: What the optimizers' states are at the end of an epoch. ``shared``: the same on all workers, and
            so kept in checkpoints and models. ``local``: each worker's own, all kept in checkpoints; a model gets their
            mean. ``fresh``: kept nowhere, every epoch starts with a new optimizer.
    """

    name: ClassVar[str]

    @property
    def optimizer_state(self) -> OptimizerState:
        """See above."""

    def synchronizer(
        self,
        replica: Replica,
        collective: Collective,
        *,
        shared: Mapping[str, torch.Tensor] = NOTHING,
        local: Mapping[str, Any] = NOTHING,
    ) -> Synchronizer:
        """The strategy at work on ``replica``, going on from the states of an earlier one.

        Raises:
            ConfigError: if it can't work on such a replica, or over such a collective.
        """

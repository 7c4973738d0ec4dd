"""What training goes on from: all that a segment needs of the epochs before it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sparkweave.artifacts.tensors import pack_state, pack_tensors, unpack_state, unpack_tensors
from sparkweave.errors import ArtifactError

_WEIGHTS, _OPTIMIZER, _STRATEGY = "model.safetensors", "optimizer.safetensors", "strategy.safetensors"
_WORKER = re.compile(r"worker-(\d{5,})\.safetensors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The network and the optimizer after ``epoch`` epochs.

    Everything random in an epoch follows from the seed, the epoch and the rank, so no generator's state is kept.

    Attributes:
        epoch: Finished epochs.
        weights: The network's ``state_dict``.
        optimizer: The optimizer's ``state_dict``, or None for a fresh one.
        shared: What the strategy keeps beside them, see `Synchronizer.shared_state`.
        local: By rank, what each worker keeps to itself: see `Synchronizer.local_state`; and its optimizer's ``state_dict``
            under ``optimizer``, where these are each worker's own.
    """

    epoch: int
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any] | None = None
    shared: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    local: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def to_blobs(self) -> dict[str, bytes]:
        """As bytes by file name."""
        blobs = {_WEIGHTS: pack_tensors(self.weights)}
        if self.optimizer is not None:
            blobs[_OPTIMIZER] = pack_state(self.optimizer)
        if self.shared:
            blobs[_STRATEGY] = pack_tensors(self.shared)
        return blobs | {f"worker-{rank:05}.safetensors": pack_state(kept) for rank, kept in self.local.items()}

    @classmethod
    def from_blobs(cls, epoch: int, blobs: Mapping[str, bytes]) -> TrainingState:
        """The inverse of `to_blobs`.

        Raises:
            ArtifactError: if a blob is missing or damaged.
        """
        if _WEIGHTS not in blobs:
            raise ArtifactError(f"the state of epoch {epoch} has no {_WEIGHTS}; start without resuming")
        return cls(
            epoch=epoch,
            weights=unpack_tensors(blobs[_WEIGHTS]),
            optimizer=unpack_state(blobs[_OPTIMIZER]) if _OPTIMIZER in blobs else None,
            shared=unpack_tensors(blobs[_STRATEGY]) if _STRATEGY in blobs else {},
            local={rank: unpack_state(blob) for name, blob in blobs.items() if (rank := rank_of(name)) is not None},
        )

    def folded(self) -> TrainingState:
        """The state of one network: what workers have kept back is added to the weights, their optimizers become their mean.

        So nothing is lost in a model, or when another number of workers goes on.
        """
        if not self.local:
            return self
        kept = [self.local[rank] for rank in sorted(self.local)]
        weights = dict(self.weights)
        for residual in (worker["residual"] for worker in kept if "residual" in worker):
            for name, tensor in residual.items():
                weights[name] = weights[name] + tensor
        optimizers = [worker["optimizer"] for worker in kept if "optimizer" in worker]
        optimizer = _mean(optimizers) if optimizers else self.optimizer
        return dataclasses.replace(self, weights=weights, optimizer=optimizer, local={})


def rank_of(name: str) -> int | None:
    """Whose own the blob with this name is; None if it is all workers'."""
    found = _WORKER.fullmatch(name)
    return int(found[1]) if found else None


def _mean(states: Sequence[Any]) -> Any:
    """The mean of nestings that differ in their tensors' values only; of what is no floating-point tensor, the first."""
    first = states[0]
    if isinstance(first, Mapping):
        return {key: _mean([state[key] for state in states]) for key in first}
    if isinstance(first, torch.Tensor) and first.is_floating_point():
        return torch.stack([*states]).mean(dim=0)
    return first

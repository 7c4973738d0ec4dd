"""What training goes on from: all that a segment needs of the epochs before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from sparkweave.artifacts.tensors import pack_state, pack_tensors, unpack_state, unpack_tensors
from sparkweave.errors import ArtifactError

_WEIGHTS, _OPTIMIZER = "model.safetensors", "optimizer.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The network and the optimizer after ``epoch`` epochs.

    Everything random in an epoch follows from the seed, the epoch and the rank, so no generator's state is kept.

    Attributes:
        epoch: Finished epochs.
        weights: The network's ``state_dict``.
        optimizer: The optimizer's ``state_dict``, or None for a fresh one.
    """

    epoch: int
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any] | None = None

    def to_blobs(self) -> dict[str, bytes]:
        """As bytes by file name."""
        blobs = {_WEIGHTS: pack_tensors(self.weights)}
        if self.optimizer is not None:
            blobs[_OPTIMIZER] = pack_state(self.optimizer)
        return blobs

    @classmethod
    def from_blobs(cls, epoch: int, blobs: Mapping[str, bytes]) -> TrainingState:
        """The inverse of `to_blobs`.

        Raises:
            ArtifactError: if a blob is missing or damaged.
        """
        if _WEIGHTS not in blobs:
            raise ArtifactError(f"the state of epoch {epoch} has no {_WEIGHTS}; start without resuming")
        optimizer = unpack_state(blobs[_OPTIMIZER]) if _OPTIMIZER in blobs else None
        return cls(epoch=epoch, weights=unpack_tensors(blobs[_WEIGHTS]), optimizer=optimizer)

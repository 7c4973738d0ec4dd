"""When a training has stopped getting better, and which of its states was the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sparkweave.artifacts.tensors import pack_tensors, unpack_tensors
from sparkweave.training.state import TrainingState

_BEST = "best.safetensors"


class EarlyStopping:
    """Compares evaluations by their loss.

    Attributes:
        best: The state with the lowest loss, its weights alone; None before the first evaluation, or without patience.
    """

    def __init__(self, patience: int | None) -> None:
        """Without ``patience`` the last state counts as the best, and no training is ended."""
        self._patience = patience
        self._lowest = math.inf
        self._since = 0
        self.best: TrainingState | None = None

    @property
    def is_due(self) -> bool:
        """Whether as many evaluations in a row as patience allows were no better."""
        return self._patience is not None and self._since >= self._patience

    def is_best(self, loss: float, state: TrainingState) -> bool:
        """Takes the next evaluation, of ``state``; whether it is the one to keep."""
        if self._patience is None:
            return True
        if not self._is_lower(loss):
            return False
        self.best = TrainingState(epoch=state.epoch, weights=state.folded().weights)
        return True

    def to_blobs(self) -> dict[str, bytes]:
        """What a checkpoint has to keep besides the history."""
        return {} if self.best is None else {_BEST: pack_tensors(self.best.weights)}

    def resume(self, blobs: Mapping[str, bytes], history: Iterable[Mapping[str, Any]]) -> None:
        """Goes on from a checkpoint's blobs, after the evaluations in ``history``."""
        if self._patience is None:
            return
        best_epoch = 0
        for record in history:
            if record["event"] == "evaluation" and self._is_lower(record["loss"]):
                best_epoch = record["epoch"]
        if _BEST in blobs:
            self.best = TrainingState(epoch=best_epoch, weights=unpack_tensors(blobs[_BEST]))

    def _is_lower(self, loss: float) -> bool:
        self._since = 0 if loss < self._lowest else self._since + 1
        self._lowest = min(loss, self._lowest)
        return self._since == 0

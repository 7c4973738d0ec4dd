"""What a model's training was like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sparkweave.spark.model import TrainedModel


@dataclasses.dataclass(frozen=True)
class TrainingSummary:
    """The history of a training, epoch by epoch.

    Attributes:
        history: All that happened, as records of `sparkweave.events`.
        best_epoch: The epoch that the model is of: the last one, or with ``patience`` the one with the lowest validation loss.
    """

    history: Sequence[Mapping[str, Any]]
    best_epoch: int

    @classmethod
    def of(cls, model: TrainedModel) -> TrainingSummary:
        """From what the model keeps."""
        return cls(history=model.history, best_epoch=int(model.config.get("epoch", 0)))

    @property
    def total_epochs(self) -> int:
        """How many were trained."""
        return len(self.objective_history)

    @property
    def objective_history(self) -> list[float]:
        """The training loss of each epoch."""
        return [record["loss"] for record in self._of("epoch")]

    @property
    def validation_history(self) -> list[float]:
        """The loss on the validation rows after each epoch; empty without such rows."""
        return [record["loss"] for record in self._of("evaluation")]

    @property
    def accuracy_history(self) -> list[float | None]:
        """The share of training rows that were classified right in each epoch; None for numbers."""
        shares = [record["accuracy"] for record in self._of("epoch")]
        return [None if share is None or math.isnan(share) else share for share in shares]

    def _of(self, event: str) -> list[Mapping[str, Any]]:
        return [record for record in self.history if record["event"] == event]

"""What tests of faults in mid-training have in common: a small training, and who watches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from sparkweave.config import TrainingConfig
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import ParameterAveraging, Strategy
from sparkweave.testing.faults import FACTORY
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.events import EpochEnded, Event, Resharded, Restarted
    from sparkweave.spark.model import TrainedModel


class Watcher(Callback):
    """Remembers what went wrong, and does something once when an epoch has ended."""

    def __init__(self, action: Callable[[], None] = lambda: None, *, after_epoch: int = 1) -> None:
        self.events: list[Event] = []
        self._action = action
        self._after_epoch = after_epoch
        self.acted = False

    def on_epoch_end(self, event: EpochEnded) -> None:
        if event.epoch == self._after_epoch and not self.acted:
            self.acted = True
            self._action()

    def on_restart(self, event: Restarted) -> None:
        self.events.append(event)

    def on_reshard(self, event: Resharded) -> None:
        self.events.append(event)


def fit(
    spark: SparkSession,
    archive: str,
    callback: Callback | None = None,
    *,
    checkpoint_dir: str | None = None,
    resume: bool = False,
    strategy: Strategy | None = None,
    **options: Any,
) -> TrainedModel:
    """Trains a network that can be made to fail, on two workers and in segments of one epoch, unless ``options`` say otherwise."""
    trainer = Trainer(
        FACTORY,
        strategy=strategy or ParameterAveraging(averaging_frequency=2),
        config=TrainingConfig(**{"epochs": 3, "batch_size": 10, "workers": 2, "segment_seconds": 0.1, **options}),
        callbacks=[callback] if callback else [],
        checkpoint_dir=checkpoint_dir,
        resume=resume,
    )
    return trainer.fit(read_image_archives(spark, archive))


def assert_same(left: TrainedModel, right: TrainedModel) -> None:
    """Whether two models are the same to the bit."""
    for name, tensor in left.artifact.weights.items():
        assert torch.equal(tensor, right.artifact.weights[name]), name

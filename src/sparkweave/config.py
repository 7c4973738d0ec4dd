"""What a run is asked to do: frozen, keyword-only, checked once on the driver before any job starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sparkweave.errors import ConfigError

SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("float32", "bfloat16", "float16")
STAGINGS = ("direct", "export")
TIME_SOURCES = ("system", "ntp")
LOSSES = ("auto", "mse", "l1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Options of `Trainer`, whatever the strategy.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step and worker.
        workers: Number of workers; None takes as many as the session can run at once.
        min_workers: Go on with as few, if executors are lost and no others come; None never trains with fewer. The images are dealt
            out anew then, so the model is another one than an undisturbed run's; and the run can be resumed with any number of workers.
        optimizer: Name of a `torch.optim` class, in any case (``adam``, ``sgd``, ``AdamW``).
        optimizer_options: Further arguments of that class (``{"momentum": 0.9}``).
        learning_rate: The (peak) learning rate.
        schedule: ``constant``, ``cosine`` (to zero over the run) or ``one-cycle``.
        loss: ``auto`` is cross-entropy for classes, and ``mse`` for numbers; ``l1`` is the other one for numbers.
        label_smoothing: Of the cross-entropy loss, in [0, 1).
        seed: Of initialization, shuffling, dropout and augmentation.
        augment: Augmentations by name, see `sparkweave.data.augment`.
        prefetch: Minibatches prepared ahead of the step; 0 prepares each when it is needed.
        precision: ``float32``, or mixed precision in ``bfloat16`` or ``float16``.
        storage_level: Name of a `pyspark.StorageLevel` for the decoded images.
        max_bad_fraction: Share of unusable images that is left out rather than refused, in [0, 1).
        evaluate_every: Epochs between two evaluations on the test images; 0 evaluates at the end only.
        patience: End the training after so many evaluations in a row without a lower loss on the test images, and take the model
            with the lowest; None trains all epochs and takes the last one.
        log_every: Steps between two loss events of each worker; 0 leaves it to time (two a second).
        collect_training_stats: Measure where the time of steps goes and what they exchange, and keep a sample in the history:
            the steps that are told anyway, see ``log_every``.
        time_source: Of the times in these statistics: ``system`` is the driver's clock, ``ntp`` that of ``ntp_server``.
        ntp_server: A host that answers NTP requests; if it doesn't, that is a warning.
        collective_timeout_seconds: How long a worker waits for a silent peer.
        max_restarts: Failures that a run survives, by running its segment again from the last state.
        segment_seconds: Epochs are grouped so that one Spark job trains about this long.
        native_memory: The most bytes that a worker's process may take; None sets no limit.
        ignore_memory_plan: Train even if the memory plan finds that it can't go well; what it finds is logged.
    """

    epochs: int = 10
    batch_size: int = 100
    workers: int | None = None
    min_workers: int | None = None
    optimizer: str = "adam"
    optimizer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-3
    schedule: str = "constant"
    loss: str = "auto"
    label_smoothing: float = 0.0
    seed: int = 0
    augment: tuple[str, ...] = ()
    prefetch: int = 2
    precision: str = "float32"
    storage_level: str = "MEMORY_AND_DISK"
    max_bad_fraction: float = 0.0
    evaluate_every: int = 0
    patience: int | None = None
    log_every: int = 0
    collect_training_stats: bool = False
    time_source: str = "system"
    ntp_server: str = "pool.ntp.org"
    collective_timeout_seconds: float = 120.0
    max_restarts: int = 3
    segment_seconds: float = 60.0
    native_memory: int | None = None
    ignore_memory_plan: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("workers", "min_workers", "native_memory", "patience"):
            if getattr(self, name) is not None:
                require_at_least(name, getattr(self, name), 1)
        if self.workers is not None and self.min_workers is not None and self.min_workers > self.workers:
            raise ConfigError(
                f"min_workers is {self.min_workers}, and workers {self.workers}; it must be at most their number"
            )
        for name in ("prefetch", "evaluate_every", "log_every", "max_restarts"):
            require_at_least(name, getattr(self, name), 0)
        require_at_least("seed", self.seed, 0)
        for name in ("learning_rate", "collective_timeout_seconds", "segment_seconds"):
            require_positive(name, getattr(self, name))
        for name in ("label_smoothing", "max_bad_fraction"):
            _require_fraction(name, getattr(self, name))
        require_choice("time_source", self.time_source, TIME_SOURCES)
        require_choice("schedule", self.schedule, SCHEDULES)
        require_choice("loss", self.loss, LOSSES)
        if self.patience is not None and not self.evaluate_every:
            raise ConfigError(f"patience is {self.patience}, and counts evaluations: set evaluate_every to 1 or more")
        require_choice("precision", self.precision, PRECISIONS)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises ConfigError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def require_positive(name: str, value: object) -> None:
    """Raises ConfigError unless ``value`` is a finite number over 0."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:  # type: ignore[operator,arg-type]
        raise ConfigError(f"{name} is {value!r}; it must be a finite number greater than 0")


def require_at_least(name: str, value: object, least: int) -> None:
    """Raises ConfigError unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def _require_fraction(name: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value < 1:  # type: ignore[operator]
        raise ConfigError(f"{name} is {value!r}; it must be a number from 0 up to, but not including, 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

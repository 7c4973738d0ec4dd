"""Options of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sparkweave.config import TrainingConfig
from sparkweave.errors import ConfigError

NOT_A_NUMBER = float("nan")


def test_the_defaults_are_allowed() -> None:
    assert TrainingConfig().epochs == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("epochs", "batch_size", "workers", "min_workers")
            for value in (0, -1, 2.0, "2", True)
        ),
        *((name, value) for name in ("epochs", "batch_size") for value in (None,)),
        *(
            (name, value)
            for name in ("prefetch", "evaluate_every", "log_every", "max_restarts", "seed")
            for value in (-1, 0.5, "0", None, False)
        ),
        *(
            (name, value)
            for name in ("learning_rate", "collective_timeout_seconds", "segment_seconds")
            for value in (0, -1.0, float("inf"), NOT_A_NUMBER, "1", None, True)
        ),
        *((name, value) for name in ("label_smoothing", "max_bad_fraction") for value in (-0.1, 1, NOT_A_NUMBER, "0")),
        ("schedule", "step"),
        ("precision", "float64"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is {value!r}; (it must be|choose one of)"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 1),
        ("workers", None),
        ("min_workers", None),
        ("min_workers", 1),
        ("prefetch", 0),
        ("seed", 0),
        ("learning_rate", 1),
        ("label_smoothing", 0),
        ("max_bad_fraction", 0.999),
        ("precision", "bfloat16"),
    ],
)
def test_a_value_at_its_limit_is_kept(name: str, value: Any) -> None:
    assert getattr(TrainingConfig(**{name: value}), name) == value


def test_fewest_workers_are_at_most_the_workers() -> None:
    assert TrainingConfig(workers=2, min_workers=2).min_workers == 2
    with pytest.raises(ConfigError, match=r"^min_workers is 3, and workers 2; it must be at most their number$"):
        TrainingConfig(workers=2, min_workers=3)


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]

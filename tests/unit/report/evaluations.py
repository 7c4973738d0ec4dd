"""Evaluations as models keep them, made up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sparkweave.metrics.document import AnyEvaluation, to_document
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.metrics.regression import RegressionEvaluation

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def classified(classes: int, *, examples: int = 2000, skill: float = 3.0) -> dict[str, Any]:
    """Of labels ``0``, ``1`` and so on, each of which is confused with its neighbor most."""
    generator = np.random.default_rng(classes)
    actual = generator.integers(0, classes, examples)
    near = np.eye(classes)[actual] + 0.6 * np.eye(classes)[(actual + 1) % classes]
    logits = generator.normal(size=(examples, classes)) * 1.2 + skill * near
    exponentials = np.exp(logits)
    evaluation = Evaluation([str(number) for number in range(classes)])
    evaluation.update(actual, exponentials / exponentials.sum(axis=1, keepdims=True))
    return kept(evaluation)


def estimated() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    actual = generator.normal(size=500) * 10 + 20
    evaluation = RegressionEvaluation()
    evaluation.update(actual, actual + generator.normal(size=500))
    return kept(evaluation)


def kept(evaluation: AnyEvaluation) -> dict[str, Any]:
    """As a file has it."""
    document: dict[str, Any] = json.loads(json.dumps(to_document(evaluation)))
    return document

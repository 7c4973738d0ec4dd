"""All figures of a classifier's evaluation as plain data, for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sparkweave.metrics.curve import Curve

if TYPE_CHECKING:
    from sparkweave.metrics.evaluation import Evaluation


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    """By name; what is 0/0 is None, and so is what was not counted.

    With two classes ``binary`` has the figures of the second one: areas, each with the bound of its error, a table of thresholds, and
    the curves by falling threshold.
    """
    figures = {
        "examples": evaluation.examples,
        "left_out": evaluation.left_out,
        "left_out_reasons": list(evaluation.left_out_reasons),
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "precision": evaluation.precision,
        "recall": evaluation.recall,
        "f1": evaluation.f1,
        "top_k_accuracy": {str(k): evaluation.top_k_accuracy(k) for k in evaluation.top_k},
        "balanced_accuracy": evaluation.balanced_accuracy,
        "matthews_correlation": evaluation.matthews_correlation,
        "cohens_kappa": evaluation.cohens_kappa,
        "macro": dataclasses.asdict(evaluation.macro),
        "weighted": dataclasses.asdict(evaluation.weighted),
        "roc_auc": evaluation.roc_auc,
        "expected_calibration_error": evaluation.calibration.error,
        "reliability": [dataclasses.asdict(each) for each in evaluation.calibration.bins],
        "binary": _binary(evaluation),
        "classes": [dataclasses.asdict(of_class) for of_class in evaluation.classes],
        "confusion": evaluation.confusion.tolist(),
    }
    finite: dict[str, Any] = _finite(figures)
    return finite


def _binary(evaluation: Evaluation) -> dict[str, Any] | None:
    curve = evaluation.binary
    if curve is None:
        return None
    return {
        "positive": evaluation.labels[1],
        "roc_auc": curve.roc_auc,
        "roc_auc_error": curve.roc_auc_error,
        "average_precision": curve.average_precision,
        "average_precision_error": curve.average_precision_error,
        "best": dataclasses.asdict(curve.best) if curve.best else None,
        "thresholds": [dataclasses.asdict(cut) for cut in curve.table()],
        "curves": _curves(curve),
    }


def _curves(curve: Curve) -> dict[str, list[Any]]:
    """ROC and PR as columns; without the points that belong to no threshold."""
    (false_positive_rate, recall), (precision, _) = curve.roc, curve.precision_recall
    return {
        "threshold": curve.thresholds.tolist(),
        "tp": curve.tp.tolist(),
        "fp": curve.fp.tolist(),
        "false_positive_rate": false_positive_rate[1:].tolist(),
        "recall": recall[1:].tolist(),
        "precision": precision[1:].tolist(),
    }


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value

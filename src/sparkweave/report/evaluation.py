"""How good the model is, for the page: figures, charts and tables of its evaluation on the test images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sparkweave.metrics.curve import Curve, Cut
from sparkweave.metrics.document import AnyEvaluation, from_document
from sparkweave.metrics.evaluation import ClassFigures, Evaluation
from sparkweave.metrics.regression import NumberFigures, RegressionEvaluation
from sparkweave.report.chart import Chart
from sparkweave.report.confusion import Confusion, HeatMap, heat_map, worst_confusions
from sparkweave.report.errors import error_chart
from sparkweave.report.quantities import PERCENT, digits, show
from sparkweave.report.shares import THRESHOLDS, precision_recall_chart, reliability_chart, roc_chart


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSection:
    """What the template shows; what does not fit the model's kind is empty.

    Attributes:
        facts: The main figures, as text by name.
        charts: ROC, precision and recall (of two classes), and reliability; of numbers how large their errors are.
        positive: Of two classes the one that areas and thresholds are of.
        cuts: A table of thresholds.
        heat_map: The confusion matrix.
        confusions: Its largest errors, where it is too large to be shown.
        classes: Those with the lowest F1, at most as many as asked for, in the order of their labels.
        class_count: How many there are.
        numbers: What a regression's outputs have.
    """

    facts: Mapping[str, str]
    charts: Sequence[Chart] = ()
    positive: str = ""
    cuts: Sequence[Cut] = ()
    heat_map: HeatMap | None = None
    confusions: Sequence[Confusion] = ()
    classes: Sequence[ClassFigures] = ()
    class_count: int = 0
    numbers: Sequence[NumberFigures] = ()


def evaluation_section(
    document: Mapping[str, Any] | None, class_names: Mapping[str, Any], *, most_rows: int
) -> EvaluationSection | None:
    """Of `sparkweave.metrics.document.to_document`, or None where there is none, or nothing was counted.

    Raises:
        ArtifactError: if it can't be read.
    """
    if document is None:
        return None
    names = {label: name for label, name in class_names.items() if isinstance(name, str)}
    evaluation: AnyEvaluation = from_document(document, class_names=names)
    if not evaluation.examples:
        return None
    if isinstance(evaluation, RegressionEvaluation):
        charts = map(error_chart, evaluation.names, evaluation.error_counts)
        found = [chart for chart in charts if chart is not None][:most_rows]
        return EvaluationSection(facts=_counted(evaluation), charts=found, numbers=evaluation.figures)
    return _of_classes(evaluation, most_rows)


def _of_classes(evaluation: Evaluation, most_rows: int) -> EvaluationSection:
    curve, drawn = evaluation.binary, heat_map(evaluation)
    curves = [] if curve is None else [roc_chart(curve), precision_recall_chart(curve)]
    charts = [chart for chart in (*curves, reliability_chart(evaluation.calibration)) if chart is not None]
    return EvaluationSection(
        facts=_counted(evaluation) | _figures(evaluation, curve),
        charts=charts,
        positive=evaluation.names[1] if curve else "",
        cuts=curve.table(THRESHOLDS) if curve else (),
        heat_map=drawn,
        confusions=() if drawn else worst_confusions(evaluation),
        classes=_worst(evaluation.classes, most_rows),
        class_count=len(evaluation.labels),
    )


def _counted(evaluation: AnyEvaluation) -> dict[str, str]:
    left_out = {"Left out": show(evaluation.left_out)} if evaluation.left_out else {}
    return {"Examples": f"{evaluation.examples:,}", **left_out}


def _figures(evaluation: Evaluation, curve: Curve | None) -> dict[str, str]:
    figures = {"Accuracy": show(evaluation.accuracy, PERCENT)}
    top = max(evaluation.top_k)
    if 1 < top < len(evaluation.labels):
        figures[f"Top-{top} accuracy"] = show(evaluation.top_k_accuracy(top), PERCENT)
    figures |= {
        "Balanced accuracy": show(evaluation.balanced_accuracy, PERCENT),
        "Loss": show(evaluation.loss),
        "Matthews correlation": digits(evaluation.matthews_correlation, 4),
        "Cohen's kappa": _or_nothing(evaluation.cohens_kappa),
        "F1, mean of the classes": _or_nothing(evaluation.macro.f1),
        "ROC AUC" if curve else "ROC AUC, each against the others": _or_nothing(evaluation.roc_auc),
    }
    if curve:
        figures["Average precision"] = _or_nothing(curve.average_precision)
    return figures


def _or_nothing(value: float) -> str:
    return digits(value, 4) if math.isfinite(value) else show(None)


def _worst(classes: Sequence[ClassFigures], at_most: int) -> list[ClassFigures]:
    """Those without an F1 first, in the order that they had."""
    by_f1 = sorted(
        range(len(classes)), key=lambda number: -1.0 if math.isnan(classes[number].f1) else classes[number].f1
    )
    return [classes[number] for number in sorted(by_f1[:at_most])]

"""Charts of one share against another, both from 0 to 1: ROC and precision-recall curves, and reliability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparkweave.metrics.calibration import Calibration
from sparkweave.metrics.curve import Curve as Counted
from sparkweave.metrics.curve import Cut
from sparkweave.report.chart import BOTTOM, LEFT, RIGHT, TOP, Area, Chart, Curve, Dot, Stack, box, path
from sparkweave.report.quantities import PERCENT, digits, percent, show
from sparkweave.report.scale import Tick, linear
from sparkweave.report.stretches import Point

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""That are marked on curves, and are in the table below them."""

_DOTS = "Dots are the thresholds of the table below"
_NEAR = 0.7
"""Points of a curve that are nearer to each other (in units of the SVG) are drawn as one."""


def roc_chart(counted: Counted) -> Chart | None:
    """True against false positive rate, or None where there are no examples of one kind."""
    if not math.isfinite(counted.roc_auc):
        return None
    rates = list(zip(*(each.tolist() for each in counted.roc), strict=True))
    dots = [
        _dot(
            _false_rate(cut),
            cut.recall,
            f"{_name(cut)}: {percent(cut.recall)} of the positive, {percent(_false_rate(cut))} of the negative",
        )
        for cut in counted.table(THRESHOLDS)
    ]
    area = digits(counted.roc_auc, 4)
    return _chart(
        "ROC curve",
        f"ROC curve: the area below it is {area}",
        "false positive rate (%)",
        "true positive rate (%)",
        (_curve(f"area {area}", "training", rates, dots), _reference("chance", [(0, 0), (1, 1)])),
        note=_DOTS,
    )


def precision_recall_chart(counted: Counted) -> Chart | None:
    """Precision against recall in steps, or None where there is no positive example."""
    if not counted.positives:
        return None
    precision, recall = (each.tolist() for each in counted.precision_recall)
    steps = [
        point for i in range(1, len(recall)) for point in ((recall[i - 1], precision[i]), (recall[i], precision[i]))
    ]
    dots = [
        _dot(
            cut.recall, cut.precision, f"{_name(cut)}: precision {percent(cut.precision)}, recall {percent(cut.recall)}"
        )
        for cut in counted.table(THRESHOLDS)
        if math.isfinite(cut.precision)
    ]
    chance = counted.positives / (counted.positives + counted.negatives)
    mean = digits(counted.average_precision, 4)
    return _chart(
        "Precision and recall",
        f"Precision against recall: the average precision is {mean}",
        "recall (%)",
        "precision (%)",
        (
            _curve(f"average precision {mean}", "training", steps, dots),
            _reference("chance", [(0, chance), (1, chance)]),
        ),
        note=_DOTS,
    )


def reliability_chart(calibration: Calibration) -> Chart | None:
    """How often predictions are right, against how sure the model is of them; None where there are none."""
    bins = calibration.bins
    if not bins:
        return None
    total = sum(each.examples for each in bins)
    points = [(each.confidence, each.accuracy) for each in bins]
    texts = [
        f"{each.examples:,} predictions, sure of {percent(each.confidence)}: {percent(each.accuracy)} are right"
        for each in bins
    ]
    error = show(calibration.error, PERCENT)
    columns = [(each.low, each.high, each.examples / total) for each in bins]
    return _chart(
        "Reliability",
        f"Share of predictions that are right by their probability: the expected calibration error is {error}",
        "probability of the predicted class (%)",
        "share (%)",
        (
            _curve(
                "right", "training", points, [_dot(*point, text) for point, text in zip(points, texts, strict=True)]
            ),
            _reference("as sure as right", [(0, 0), (1, 1)]),
        ),
        stacks=(
            Stack(name="of all predictions", style="backdrop", path="".join(_column(*column) for column in columns)),
        ),
        areas=tuple(
            Area(x=round(_at(low, 0)[0], 1), width=round(_at(high, 0)[0] - _at(low, 0)[0], 1), text=text)
            for (low, high, _), text in zip(columns, texts, strict=True)
        ),
        note=f"Expected calibration error: {error}",
    )


def _chart(
    title: str,
    summary: str,
    x_label: str,
    y_label: str,
    curves: tuple[Curve, ...],
    *,
    stacks: tuple[Stack, ...] = (),
    areas: tuple[Area, ...] = (),
    note: str = "",
) -> Chart:
    ticks = linear([0.0, 100.0], zero=True).labelled()
    return Chart(
        title=title,
        summary=summary,
        note=note,
        x_label=x_label,
        y_label=y_label,
        x_ticks=tuple(Tick(place=round(_at(tick.place, 0)[0], 1), text=tick.text) for tick in ticks),
        y_ticks=tuple(Tick(place=round(_at(0, tick.place)[1], 1), text=tick.text) for tick in ticks),
        flags=(),
        curves=curves,
        stacks=stacks,
        areas=areas,
    )


def _curve(name: str, style: str, points: Sequence[Point], dots: Sequence[Dot]) -> Curve:
    drawn = path(_thinned([_at(*point) for point in points]))
    return Curve(name=name, style=style, path=drawn, band="", dots=tuple(dots), shows_dots=True)


def _reference(name: str, points: Sequence[Point]) -> Curve:
    return Curve(
        name=name, style="reference", path=path([_at(*point) for point in points]), band="", dots=(), shows_dots=False
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Without those that nobody could tell from the one before; the last one stays."""
    kept: list[Point] = []
    for point in points:
        if not kept or math.dist(point, kept[-1]) >= _NEAR:
            kept.append(point)
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _column(low: float, high: float, share: float) -> str:
    (left, bottom), (right, top) = _at(low, 0), _at(high, share)
    return box(left + 1, top, right - 1, bottom)


def _dot(x: float, y: float, text: str) -> Dot:
    left, top = _at(x, y)
    return Dot(x=round(left, 1), y=round(top, 1), text=text)


def _at(x: float, y: float) -> Point:
    return LEFT + x * (RIGHT - LEFT), BOTTOM + y * (TOP - BOTTOM)


def _false_rate(cut: Cut) -> float:
    return cut.fp / (cut.fp + cut.tn)


def _name(cut: Cut) -> str:
    return f"from {cut.threshold:.6g} on" + (" (best F1)" if cut.is_best else "")

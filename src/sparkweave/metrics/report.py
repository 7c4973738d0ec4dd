"""An evaluation as text, in the form that Deeplearning4j's users know (``Evaluation.stats()`` up to 1.0.0-alpha)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkweave.metrics.curve import Curve
    from sparkweave.metrics.evaluation import Evaluation

_HEAD = "==========================Scores========================================"
_FOOT = "=" * len(_HEAD)
_SHOWN_THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)


def stats(evaluation: Evaluation) -> str:
    """The non-zero cells of the confusion matrix, warnings, and the scores.

    Differs from the original where that misleads: a class without examples is not said to be "never predicted", and
    with two classes a line says whose F1 it is.

    Example:
        >>> from sparkweave.metrics.evaluation import Evaluation
        >>> print(stats(Evaluation(["0", "1", "2"])).splitlines()[-6])
         Accuracy:        0.0000
    """
    names = [_printable(name) for name in evaluation.names]
    cells = [
        f"Examples labeled as {actual} classified by model as {predicted}: {count} times\n"
        for actual, row in zip(names, evaluation.confusion.tolist(), strict=True)
        for predicted, count in zip(names, row, strict=True)
        if count
    ]
    return "\n" + "".join(cells) + "\n" + _warnings(evaluation) + "\n" + "\n".join(_scores(evaluation, names))


def class_table(evaluation: Evaluation) -> str:
    """A line a class: examples, predictions, precision, recall, F1; ``-`` where a figure is 0/0."""
    head = ("Class", "Examples", "Predicted", "Precision", "Recall", "F1 Score")
    rows = [
        (
            _printable(figures.name),
            str(figures.examples),
            str(figures.predicted),
            *(_figure(figure) for figure in (figures.precision, figures.recall, figures.f1)),
        )
        for figures in evaluation.classes
    ]
    return _table(head, rows)


def summary(evaluation: Evaluation) -> str:
    """Figures that Deeplearning4j does not print; with two classes also a table of thresholds, in which ``*`` marks the best F1."""
    figures = {
        "Balanced accuracy": evaluation.balanced_accuracy,
        "Matthews correlation": evaluation.matthews_correlation,
        "Cohen's kappa": evaluation.cohens_kappa,
        "Calibration error": evaluation.calibration.error,
    }
    curve = evaluation.binary
    if curve is None:
        figures["ROC AUC, each class against the others"] = evaluation.roc_auc
    else:
        figures |= {"ROC AUC": curve.roc_auc, "Average precision": curve.average_precision}
    width = max(map(len, figures)) + 1
    lines = [f"{name + ':':{width}} {_number(value)}" for name, value in figures.items()]
    return "\n".join(lines + ([] if curve is None else ["", *_thresholds(curve, _printable(evaluation.names[1]))]))


def _thresholds(curve: Curve, name: str) -> list[str]:
    head = ("Threshold", "TP", "FP", "FN", "TN", "Precision", "Recall", "F1 Score")
    rows = [
        (
            f"{'*' if cut.is_best else ' '} {cut.threshold:.6g}",
            *(f"{count}" for count in (cut.tp, cut.fp, cut.fn, cut.tn)),
            *(_figure(figure) for figure in (cut.precision, cut.recall, cut.f1)),
        )
        for cut in curve.table(_SHOWN_THRESHOLDS)
    ]
    return [f'Positive is "{name}", from a probability of:', _table(head, rows)]


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in (head, *rows))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join((row[0].ljust(widths[0]), *numbers))


def _scores(evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    count = len(names)
    excluded = [
        _excluded(evaluation, sum(math.isnan(getattr(figures, name)) for figures in evaluation.classes))
        for name in ("precision", "recall", "f1")
    ]
    lines = [_HEAD, f" # of classes:    {count}", f" Accuracy:        {_number(evaluation.accuracy)}"]
    lines += [f" Top {k} Accuracy:  {_number(evaluation.top_k_accuracy(k))}" for k in evaluation.top_k if 1 < k < count]
    lines += [
        f" Precision:       {_number(evaluation.precision)}{excluded[0]}",
        f" Recall:          {_number(evaluation.recall)}{excluded[1]}",
        f" F1 Score:        {_number(evaluation.f1)}{excluded[2]}",
    ]
    if count > 2:
        lines.append(f"Precision, recall & F1: macro-averaged (equally weighted avg. of {count} classes)")
    if count == 2:
        lines.append(f'F1: reported for positive class (class 1 - "{names[1]}") only')
    return [*lines, _FOOT]


def _excluded(evaluation: Evaluation, count: int) -> str:
    if count == 0 or len(evaluation.labels) <= 2:
        return ""
    return f"\t({count} class{'es' if count > 1 else ''} excluded from average)"


def _warnings(evaluation: Evaluation) -> str:
    figures = evaluation.classes
    unpredicted = [index for index, of_class in enumerate(figures) if not of_class.predicted]
    absent = [index for index, of_class in enumerate(figures) if not of_class.examples]
    return _warning(unpredicted, "never predicted by the model", "precision") + _warning(
        absent, "never seen in the data", "recall"
    )


def _warning(indices: list[int], reason: str, metric: str) -> str:
    if not indices:
        return ""
    classes, were = ("class", "was") if len(indices) == 1 else ("classes", "were")
    return (
        f"Warning: {len(indices)} {classes} {were} {reason} and {were} excluded from average {metric}\n"
        f"Classes excluded from average {metric}: {indices}\n"
    )


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4f}"


def _printable(label: str) -> str:
    """Labels come from file names: no control sequence of theirs may reach a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in label)

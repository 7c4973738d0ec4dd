"""A confusion matrix as a heat map, or as the worst of its confusions where there are too many classes to see."""

from __future__ import annotations

import dataclasses
import math

from sparkweave.metrics.evaluation import Evaluation

MOST_CLASSES = 20
"""Of a heat map."""

MOST_CONFUSIONS = 20
_LONGEST_NAME = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """How many examples of a class were taken for a class.

    Attributes:
        count: So many; 0 is not printed.
        shade: From 0 to 1, the root of the share of the row: errors are few, and are to be seen.
        is_right: Whether both classes are the same.
        text: What it says when it is pointed at.
    """

    count: int
    shade: float
    is_right: bool
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Name:
    """A class's name as it fits, and in full."""

    short: str
    full: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Rows are actual classes, columns predicted ones."""

    names: tuple[Name, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion:
    """Examples of one class that were taken for another one; ``share`` is of all examples of their class."""

    actual: Name
    predicted: Name
    count: int
    share: float


def heat_map(evaluation: Evaluation) -> HeatMap | None:
    """The matrix, or None where it has more than `MOST_CLASSES` classes."""
    if len(evaluation.labels) > MOST_CLASSES:
        return None
    names = tuple(map(_name, evaluation.names))
    rows = tuple(
        tuple(
            _cell(count, sum(row), actual.full, predicted.full, is_right=column == number)
            for column, (predicted, count) in enumerate(zip(names, row, strict=True))
        )
        for number, (actual, row) in enumerate(zip(names, evaluation.confusion.tolist(), strict=True))
    )
    return HeatMap(names=names, rows=rows)


def worst_confusions(evaluation: Evaluation) -> list[Confusion]:
    """The most frequent errors, at most `MOST_CONFUSIONS`."""
    matrix = evaluation.confusion
    cells = [
        (-int(matrix[row, column]), int(row), int(column))
        for row, column in zip(*matrix.nonzero(), strict=True)
        if row != column
    ]
    names, sizes = tuple(map(_name, evaluation.names)), matrix.sum(axis=1).tolist()
    return [
        Confusion(actual=names[row], predicted=names[column], count=-count, share=-count / sizes[row])
        for count, row, column in sorted(cells)[:MOST_CONFUSIONS]
    ]


def _cell(count: int, whole: int, actual: str, predicted: str, *, is_right: bool) -> Cell:
    verdict = "taken for what they are" if is_right else f"taken for {predicted}"
    return Cell(
        count=count,
        shade=round(math.sqrt(count / whole), 3) if whole else 0.0,
        is_right=is_right,
        text=f"{count:,} of {whole:,} of {actual}: {verdict}",
    )


def _name(name: str) -> Name:
    return Name(short=name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…", full=name)

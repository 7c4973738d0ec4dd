"""What a set of examples is, from its blocks: sizes, labels, mean and deviation; and whether it can be trained on."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sparkweave.data.blocks import BAD_SHOWN, Shape
from sparkweave.data.labels import order_labels
from sparkweave.data.scale import Scale
from sparkweave.data.schedule import merge_sizes
from sparkweave.errors import DataError, LabelError

_ALIKE = "give --image-size HxW (and --channels 1 or 3, where some are gray and some are not) to make them alike"
SUMMARY_COLUMNS = (
    "shard",
    "examples",
    "shape",
    "classes",
    "counts",
    "sums",
    "squares",
    "target_sum",
    "target_squares",
    "weight_sum",
    "digest",
    "bad",
    "bad_reasons",
)
_DIGITS = 6
"""Of figures that come from sums of floats: those depend a little on how the rows were cut into blocks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The examples of a run.

    Attributes:
        sizes: Examples of each shard.
        shape: (channels, height, width) of every image, or (numbers,) of every vector.
        labels: The distinct labels in the order of the classes; empty where numbers are to be predicted.
        counts: Examples of each label.
        mean: Mean of each channel's values, scaled to [0, 1], or of each of the vectors' numbers.
        deviation: Standard deviation likewise; never 0.
        target: Mean and deviation of the numbers to be predicted, or None.
        mean_weight: Of the examples' weights, or None where they have none.
        digest: Of all examples with their labels and weights, in any order; as 16 hexadecimal digits.
        bad: Rows that were left out.
        bad_reasons: The first of them, with the reason.
    """

    sizes: tuple[int, ...]
    shape: Shape
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    target: Scale | None = None
    mean_weight: float | None = None
    digest: str = ""
    bad: int = 0
    bad_reasons: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """All usable examples."""
        return sum(self.sizes)

    @property
    def noun(self) -> str:
        """What to call the examples in a message."""
        return "images" if len(self.shape) == 3 else "vectors"

    @property
    def outputs(self) -> int:
        """That a network needs."""
        return len(self.labels) or 1


def summarize(blocks: Iterable[Mapping[str, Any]], *, shards: int, max_bad_fraction: float) -> DatasetSummary:
    """Adds up the blocks' `SUMMARY_COLUMNS`.

    Raises:
        DataError: if more rows than ``max_bad_fraction`` are unusable, nothing is left, the examples differ in size, or their
            weights are all 0.
    """
    found = list(blocks)
    good = [block for block in found if block["examples"]]
    bad, reasons = sum(block["bad"] for block in found), _reasons(found)
    examples = sum(block["examples"] for block in good)
    check_bad(bad, examples + bad, reasons, max_bad_fraction)
    if not examples:
        raise DataError("there is not one usable example; give archives of PNG or JPEG images named LABEL_NAME.png")
    shape = _one_shape(good)
    counts: Counter[str] = Counter()
    for block in good:
        counts.update(
            {label: count for label, count in zip(block["classes"] or (), block["counts"] or (), strict=True) if count}
        )
    mean, deviation = _vector_moments(good) if len(shape) == 1 else _pixel_moments(good, examples * shape[1] * shape[2])
    return DatasetSummary(
        sizes=merge_sizes([(block["shard"], block["examples"]) for block in good], shards),
        shape=shape,
        labels=order_labels(counts),
        counts=dict(counts),
        mean=mean,
        deviation=deviation,
        target=None if counts else _target_scale(good),
        mean_weight=_mean_weight(good, examples),
        digest=f"{sum(block['digest'] for block in good) % (1 << 64):016x}",
        bad=bad,
        bad_reasons=reasons,
    )


def check_bad(bad: int, rows: int, reasons: Iterable[str], max_bad_fraction: float) -> None:
    """Raises DataError if more than ``max_bad_fraction`` of ``rows`` are unusable."""
    if bad > max_bad_fraction * rows:
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise DataError(
            f"{bad:,} of {rows:,} images can't be used:{listed}"
            f"{'' if bad <= BAD_SHOWN else f'{chr(10)}  … and {bad - BAD_SHOWN:,} more'}"
            f"\nAt most a fraction of {max_bad_fraction:g} may be left out; mend them, or allow more (--max-bad-fraction, max_bad_fraction in Python)"
        )


def check_trainable(summary: DatasetSummary, workers: int) -> None:
    """Raises DataError or LabelError if no network can be trained on these examples by so many workers."""
    if len(summary.labels) == 1:
        raise LabelError(
            f"all {summary.examples:,} {summary.noun} have the label {summary.labels[0]!r}; at least two classes are needed"
            + (". An image's label is the file name's part before the first '_'" if len(summary.shape) == 3 else "")
        )
    if summary.examples < workers:
        raise DataError(
            f"{summary.examples} {summary.noun} for {workers} workers; give at least one a worker, or --workers 1"
        )


def check_test(test: DatasetSummary, train: DatasetSummary) -> None:
    """Raises DataError or LabelError if a network trained on ``train`` can't be measured on ``test``."""
    if bool(test.labels) != bool(train.labels):
        raise LabelError("the labels to train on and those to test on must both be classes, or both numbers")
    if test.shape != train.shape and len(train.shape) == 1:
        raise DataError(
            f"the test vectors have {test.shape[0]} numbers, those to train on {train.shape[0]}; give the same"
        )
    if test.shape != train.shape:
        raise DataError(
            f"the test images are (channels, height, width) {test.shape}, the training images {train.shape}; {_ALIKE}"
        )
    unknown = [repr(label) for label in test.labels if label not in train.labels]
    if unknown:
        raise LabelError(
            f"{len(unknown)} labels of the test images are not among the training images: {', '.join(unknown[:20])}; "
            f"the training images have {', '.join(map(repr, train.labels[:20]))}"
        )


def _reasons(blocks: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(reason for block in blocks for reason in block["bad_reasons"] or ())[:BAD_SHOWN])


def _one_shape(blocks: list[Mapping[str, Any]]) -> Shape:
    shapes: Counter[Shape] = Counter()
    for block in blocks:
        shapes[tuple(block["shape"])] += block["examples"]
    if len(shapes) > 1:
        listed = ", ".join(
            _described(shape, count)
            for shape, count in sorted(shapes.items(), key=lambda item: (-item[1], item[0]))[:5]
        )
        if len(next(iter(shapes))) == 1:
            raise DataError(f"the vectors differ in length: {listed}; all must have as many numbers")
        raise DataError(f"the images differ in size: {listed}; {_ALIKE}")
    return next(iter(shapes))


def _described(shape: Shape, count: int) -> str:
    if len(shape) == 1:
        return f"{count:,} of {shape[0]} numbers"
    channels, height, width = shape
    return f"{count:,} of {height}x{width} with {channels} channel{'s' if channels > 1 else ''}"


def _pixel_moments(blocks: list[Mapping[str, Any]], values: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact: the sums are whole numbers."""
    sums = [sum(map(int, column)) for column in zip(*(block["sums"] for block in blocks), strict=True)]
    squares = [sum(map(int, column)) for column in zip(*(block["squares"] for block in blocks), strict=True)]
    means = [total / values for total in sums]
    deviations = [math.sqrt(max(square / values - mean**2, 0.0)) for square, mean in zip(squares, means, strict=True)]
    return tuple(mean / 255 for mean in means), tuple(deviation / 255 or 1.0 for deviation in deviations)


def _vector_moments(blocks: list[Mapping[str, Any]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    counts = [block["examples"] for block in blocks]
    columns = zip(
        zip(*(block["sums"] for block in blocks), strict=True),
        zip(*(block["squares"] for block in blocks), strict=True),
        strict=True,
    )
    scales = [_scale(counts, sums, squares) for sums, squares in columns]
    return tuple(scale.mean for scale in scales), tuple(scale.deviation for scale in scales)


def _target_scale(blocks: list[Mapping[str, Any]]) -> Scale:
    columns = [[block[name] for block in blocks] for name in ("examples", "target_sum", "target_squares")]
    return _scale(*columns)


def _scale(counts: Sequence[int], sums: Sequence[float], squares: Sequence[float]) -> Scale:
    """Of parts with so many values, their sums, and the squares of their differences from the part's own mean.

    Source: Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (1979).
    """
    total = sum(counts)
    mean = math.fsum(sums) / total
    between = (count * (part / count - mean) ** 2 for count, part in zip(counts, sums, strict=True))
    deviation = _rounded(math.sqrt(math.fsum([*squares, *between]) / total))
    if deviation == 0:
        return Scale(mean=mean, deviation=1.0)
    # To digits of the deviation: a mean may be millions of times as large.
    unit = 10.0 ** (math.floor(math.log10(deviation)) - _DIGITS + 1)
    return Scale(mean=round(mean / unit) * unit, deviation=deviation)


def _mean_weight(blocks: list[Mapping[str, Any]], examples: int) -> float | None:
    if any(block["weight_sum"] is None for block in blocks):
        return None
    mean = _rounded(math.fsum(block["weight_sum"] for block in blocks) / examples)
    if mean == 0:
        raise DataError("the weights of all examples are 0; at least one must be greater")
    return mean


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")

"""What a set of images is, from its blocks: sizes, labels, mean and deviation; and whether it can be trained on."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sparkweave.data.blocks import BAD_SHOWN
from sparkweave.data.labels import order_labels
from sparkweave.data.schedule import merge_sizes
from sparkweave.errors import DataError, LabelError

_ALIKE = "give --image-size HxW (and --channels 1 or 3, where some are gray and some are not) to make them alike"
SUMMARY_COLUMNS = (
    "shard",
    "examples",
    "height",
    "width",
    "channels",
    "classes",
    "counts",
    "sums",
    "squares",
    "bad",
    "bad_reasons",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The images of a run.

    Attributes:
        sizes: Examples of each shard.
        shape: (channels, height, width) of every image.
        labels: The distinct labels in the order of the classes.
        counts: Examples of each label.
        mean: Mean of each channel's values, scaled to [0, 1].
        deviation: Standard deviation of each channel's values, scaled to [0, 1]; never 0.
        bad: Rows that were left out.
        bad_reasons: The first of them, with the reason.
    """

    sizes: tuple[int, ...]
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    bad: int = 0
    bad_reasons: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """All usable examples."""
        return sum(self.sizes)


def summarize(blocks: Iterable[Mapping[str, Any]], *, shards: int, max_bad_fraction: float) -> DatasetSummary:
    """Adds up the blocks' `SUMMARY_COLUMNS`.

    Raises:
        DataError: if more rows than ``max_bad_fraction`` are unusable, nothing is left, or the images differ in size.
    """
    found = list(blocks)
    good = [block for block in found if block["examples"]]
    bad, reasons = sum(block["bad"] for block in found), _reasons(found)
    examples = sum(block["examples"] for block in good)
    check_bad(bad, examples + bad, reasons, max_bad_fraction)
    if not examples:
        raise DataError("there is not one usable image; give archives of PNG or JPEG images named LABEL_NAME.png")
    shape = _one_shape(good)
    counts: Counter[str] = Counter()
    for block in good:
        counts.update({label: count for label, count in zip(block["classes"], block["counts"], strict=True) if count})
    mean, deviation = _moments(good, examples * shape[1] * shape[2])
    return DatasetSummary(
        sizes=merge_sizes([(block["shard"], block["examples"]) for block in good], shards),
        shape=shape,
        labels=order_labels(counts),
        counts=dict(counts),
        mean=mean,
        deviation=deviation,
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
            f"\nAt most a fraction of {max_bad_fraction:g} may be left out; mend them or raise --max-bad-fraction"
        )


def check_trainable(summary: DatasetSummary, workers: int) -> None:
    """Raises DataError or LabelError if no network can be trained on these images by so many workers."""
    if len(summary.labels) < 2:
        raise LabelError(
            f"all {summary.examples:,} images have the label {summary.labels[0]!r}; at least two classes are needed. "
            "The label is the file name's part before the first '_'"
        )
    if summary.examples < workers:
        raise DataError(f"{summary.examples} images for {workers} workers; give at least one a worker, or --workers 1")


def check_test(test: DatasetSummary, train: DatasetSummary) -> None:
    """Raises DataError or LabelError if a network trained on ``train`` can't be measured on ``test``."""
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


def _one_shape(blocks: list[Mapping[str, Any]]) -> tuple[int, int, int]:
    sizes: Counter[tuple[int, int, int]] = Counter()
    for block in blocks:
        sizes[block["channels"], block["height"], block["width"]] += block["examples"]
    if len(sizes) > 1:
        listed = ", ".join(
            f"{count:,} of {height}x{width} with {channels} channel{'s' if channels > 1 else ''}"
            for (channels, height, width), count in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:5]
        )
        raise DataError(f"the images differ in size: {listed}; {_ALIKE}")
    return next(iter(sizes))


def _moments(blocks: list[Mapping[str, Any]], values: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    sums = [sum(column) for column in zip(*(block["sums"] for block in blocks), strict=True)]
    squares = [sum(column) for column in zip(*(block["squares"] for block in blocks), strict=True)]
    means = [total / values for total in sums]
    deviations = [math.sqrt(max(square / values - mean**2, 0.0)) for square, mean in zip(squares, means, strict=True)]
    return tuple(mean / 255 for mean in means), tuple(deviation / 255 or 1.0 for deviation in deviations)

"""How far the results of two trainings from one start are apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import torch

from sparkweave.artifacts.tensors import pack_tensors

Weights = Mapping[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sets of weights that training has made of the same ones.

    Attributes:
        tensors: How many tensors were compared.
        numbers: How many numbers they have together.
        identical: Whether these are the same to the bit.
        parameter: The tensor with the number that differs most; empty if they are identical.
        largest: That difference.
        change: How far training has moved that tensor's numbers at most.
        distance: The differences' Euclidean norm, as a fraction of the norm of what training has changed; the larger one of that
            of all parameters and that of all statistics, such as BatchNorm's.
    """

    tensors: int
    numbers: int
    identical: bool
    parameter: str
    largest: float
    change: float
    distance: float


def compare(one: Weights, other: Weights, start: Weights, parameters: Collection[str]) -> Comparison:
    """Compares two networks' ``state_dict``.

    Args:
        one: After a training.
        other: After another.
        start: Of both.
        parameters: Which of their tensors are learnt; the others are statistics.

    Example:
        >>> start, other = {"bias": torch.tensor([1.0, 1.0])}, {"bias": torch.tensor([1.0, 3.0])}
        >>> compare({"bias": torch.tensor([1.0, 3.5])}, other, start, ["bias"]).distance
        0.25
    """
    differences = {name: _largest(one[name], other[name]) for name in other}
    worst = max(differences, key=lambda name: differences[name])
    identical = pack_tensors(one) == pack_tensors(other)
    learnt, counted = ([name for name in other if (name in parameters) is wanted] for wanted in (True, False))
    return Comparison(
        tensors=len(other),
        numbers=sum(tensor.numel() for tensor in other.values()),
        identical=identical,
        parameter="" if identical else worst,
        largest=differences[worst],
        change=_largest(other[worst], start[worst]),
        distance=max(_distance(one, other, start, names) for names in (learnt, counted)),
    )


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0


def _distance(one: Weights, other: Weights, start: Weights, names: Sequence[str]) -> float:
    apart, changed = (
        math.sqrt(sum(float((left[name].double() - right[name].double()).square().sum()) for name in names))
        for left, right in ((one, other), (other, start))
    )
    if not apart:
        return 0.0
    return apart / changed if changed else math.inf

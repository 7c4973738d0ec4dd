"""Tasks that score images: predictions row by row, and evaluations partition by partition."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkweave.data.blocks import BAD_SHOWN, pixel_rows

if TYPE_CHECKING:
    import torch
    from torch import nn

PREDICTION_COLUMNS = "path string, label string, prediction string, probability array<float>, error string"
EVALUATION_COLUMNS = "evaluation string, bad int, rows int, bad_reasons array<string>"
_PREDICTION_FIELDS: list[tuple[str, pa.DataType]] = [
    ("path", pa.string()),
    ("label", pa.string()),
    ("prediction", pa.string()),
    ("probability", pa.list_(pa.float32())),
    ("error", pa.string()),
]
_PREDICTION = pa.schema(_PREDICTION_FIELDS)
_EVALUATION_FIELDS: list[tuple[str, pa.DataType]] = [
    ("evaluation", pa.string()),
    ("bad", pa.int32()),
    ("rows", pa.int32()),
    ("bad_reasons", pa.list_(pa.string())),
]
_EVALUATION = pa.schema(_EVALUATION_FIELDS)
_BATCH_ROWS = 256
_KEPT_NETWORKS = 2
_networks: OrderedDict[str, tuple[nn.Module, torch.device]] = OrderedDict()


class Weights(Protocol):
    """A broadcast variable, or anything else with a safetensors blob in ``value``."""

    @property
    def value(self) -> bytes:
        """The blob."""


@dataclass(frozen=True, kw_only=True)
class ScoringTask:
    """A network to score with.

    Attributes:
        model: A name of its own for this network and these weights; a Python worker loads it once.
        network: What `sparkweave.networks.describe_network` returned.
        allow_code: Whether the network may be built by the user's own code.
        input_shape: (channels, height, width).
        labels: In the order of the classes.
        mean: Of each channel, on the scale of [0, 1].
        deviation: Of each channel, on the scale of [0, 1].
    """

    model: str
    network: Mapping[str, Any]
    allow_code: bool
    input_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True)
class _Scored:
    """A few hundred rows; ``chosen`` are the positions of those with probabilities."""

    rows: pa.RecordBatch
    chosen: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    errors: list[str | None]


def predict_images(
    batches: Iterable[pa.RecordBatch], *, task: ScoringTask, weights: Weights
) -> Iterator[pa.RecordBatch]:
    """Task: one row of `PREDICTION_COLUMNS` for each image; an unusable one has the reason in ``error``."""
    labels = np.array(task.labels, dtype=object)
    for scored in _score(batches, task, weights):
        predictions: list[str | None] = [None] * scored.rows.num_rows
        probabilities: list[npt.NDArray[np.float32] | None] = [None] * scored.rows.num_rows
        best = labels[scored.probabilities.argmax(axis=1)] if len(scored.chosen) else ()
        for position, label, row in zip(scored.chosen, best, scored.probabilities, strict=True):
            predictions[position], probabilities[position] = label, row
        columns = [_text_column(scored.rows, "path"), _text_column(scored.rows, "label")]
        columns += [pa.array(predictions, pa.string()), pa.array(probabilities, pa.list_(pa.float32()))]
        yield pa.RecordBatch.from_arrays([*columns, pa.array(scored.errors, pa.string())], schema=_PREDICTION)


def evaluate_images(
    batches: Iterable[pa.RecordBatch], *, task: ScoringTask, weights: Weights
) -> Iterator[pa.RecordBatch]:
    """Task: one row of `EVALUATION_COLUMNS` for its images."""
    from sparkweave.metrics.evaluation import Evaluation

    evaluation = Evaluation(task.labels)
    index = {label: position for position, label in enumerate(task.labels)}
    bad: list[str] = []
    rows = 0
    for scored in _score(batches, task, weights):
        rows += scored.rows.num_rows
        labels = _text_column(scored.rows, "label").to_pylist()
        errors = [error or _label_error(label, index) for error, label in zip(scored.errors, labels, strict=True)]
        paths = _text_column(scored.rows, "path").to_pylist()
        bad += [f"{path}: {error}" for path, error in zip(paths, errors, strict=True) if error]
        kept = [number for number, position in enumerate(scored.chosen) if errors[position] is None]
        if kept:
            actual = np.array([index[labels[position]] for position in scored.chosen[kept]])
            evaluation.update(actual, scored.probabilities[kept])
    row = {"evaluation": json.dumps(evaluation.to_dict()), "bad": len(bad), "rows": rows}
    yield pa.RecordBatch.from_pylist([{**row, "bad_reasons": bad[:BAD_SHOWN]}], schema=_EVALUATION)


def _score(batches: Iterable[pa.RecordBatch], task: ScoringTask, weights: Weights) -> Iterator[_Scored]:
    import torch

    from sparkweave.data.batches import Normalization

    network, device = _loaded(task, weights)
    normalization = Normalization(task.mean, task.deviation)
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            rows = batch.slice(start, _BATCH_ROWS)
            pixels, chosen, errors = pixel_rows(rows, task.input_shape)
            with torch.inference_mode():
                images = normalization(torch.from_numpy(pixels).to(device))
                logits = network(images).float() if len(chosen) else torch.empty(0, len(task.labels))
                yield _Scored(rows, chosen, logits.softmax(dim=1).cpu().numpy(), errors)


def _loaded(task: ScoringTask, weights: Weights) -> tuple[nn.Module, torch.device]:
    """The network, kept from one task of this Python worker to the next."""
    device = _device_of_task()
    key = f"{task.model} on {device}"
    if key not in _networks:
        _networks[key] = _load(task, weights.value, device), device
        while len(_networks) > _KEPT_NETWORKS:
            _networks.popitem(last=False)
    return _networks[key]


def _device_of_task() -> torch.device:
    """Where this task computes; it also gets as many threads as Spark gave it cores."""
    import torch
    from pyspark import TaskContext

    from sparkweave.training.device import choose_device

    context = TaskContext.get()
    resources = {name: list(value.addresses) for name, value in context.resources().items()} if context else {}
    torch.set_num_threads(context.cpus() if context else 1)
    return choose_device(resources)


def _load(task: ScoringTask, blob: bytes, device: torch.device) -> nn.Module:
    import torch

    from sparkweave.artifacts.tensors import unpack_tensors
    from sparkweave.networks import build_network

    network = build_network(
        task.network, input_shape=task.input_shape, classes=len(task.labels), allow_code=task.allow_code
    )
    network.load_state_dict(unpack_tensors(blob))
    return network.eval().to(device).to(memory_format=torch.channels_last)


def _label_error(label: str | None, index: Mapping[str, int]) -> str | None:
    if label is None:
        return "it has no label; name images LABEL_ANYTHING.png"
    if label not in index:
        known = ", ".join(list(index)[:BAD_SHOWN])
        return f"the model knows no label {label!r}; it was trained on {known}"
    return None


def _text_column(rows: pa.RecordBatch, name: str) -> Any:
    return rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, pa.string())

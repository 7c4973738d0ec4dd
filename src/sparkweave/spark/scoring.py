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

    from sparkweave.inference.predictor import Predictor
    from sparkweave.inference.task import PredictorTask

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
_KEPT_NETWORKS = 2
_predictors: OrderedDict[str, Predictor] = OrderedDict()


class Weights(Protocol):
    """A broadcast variable, or anything else with a safetensors blob in ``value``."""

    @property
    def value(self) -> bytes:
        """The blob."""


@dataclass(frozen=True)
class _Scored:
    """A few hundred rows; ``chosen`` are the positions of those with probabilities."""

    rows: pa.RecordBatch
    chosen: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    errors: list[str | None]


def predict_images(
    batches: Iterable[pa.RecordBatch], *, task: PredictorTask, weights: Weights
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
    batches: Iterable[pa.RecordBatch], *, task: PredictorTask, weights: Weights
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


def _score(batches: Iterable[pa.RecordBatch], task: PredictorTask, weights: Weights) -> Iterator[_Scored]:
    from sparkweave.inference.predictor import BATCH_ROWS

    predictor = _loaded(task, weights)
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            rows = batch.slice(start, BATCH_ROWS)
            pixels, chosen, errors = pixel_rows(rows, task.input_shape)
            yield _Scored(rows, chosen, predictor(pixels), errors)


def _loaded(task: PredictorTask, weights: Weights) -> Predictor:
    """The network, kept from one task of this Python worker to the next."""
    from sparkweave.inference.predictor import Predictor

    device = _device_of_task()
    key = f"{task.model} on {device}"
    if key not in _predictors:
        _predictors[key] = Predictor(task, weights.value, device=device)
        while len(_predictors) > _KEPT_NETWORKS:
            _predictors.popitem(last=False)
    return _predictors[key]


def _device_of_task() -> torch.device:
    """Where this task computes; it also gets as many threads as Spark gave it cores."""
    import torch
    from pyspark import TaskContext

    from sparkweave.training.device import choose_device

    context = TaskContext.get()
    resources = {name: list(value.addresses) for name, value in context.resources().items()} if context else {}
    torch.set_num_threads(context.cpus() if context else 1)
    return choose_device(resources)


def _label_error(label: str | None, index: Mapping[str, int]) -> str | None:
    if label is None:
        return "it has no label; name images LABEL_ANYTHING.png"
    if label not in index:
        known = ", ".join(list(index)[:BAD_SHOWN])
        return f"the model knows no label {label!r}; it was trained on {known}"
    return None


def _text_column(rows: pa.RecordBatch, name: str) -> Any:
    return rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, pa.string())

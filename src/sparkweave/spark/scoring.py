"""Tasks that score examples: predictions row by row, and evaluations partition by partition."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkweave.data.blocks import BAD_SHOWN, input_rows
from sparkweave.spark.python_worker import freeze_imports

if TYPE_CHECKING:
    import torch

    from sparkweave.inference.predictor import Predictor
    from sparkweave.inference.task import PredictorTask

PREDICTION_COLUMNS = "path string, label string, prediction string, probability array<float>, error string"
NUMBER_COLUMNS = "path string, label double, prediction double, error string"
EVALUATION_COLUMNS = "evaluation string, bad int, rows int, bad_reasons array<string>"
_PREDICTION_FIELDS: list[tuple[str, pa.DataType]] = [
    ("path", pa.string()),
    ("label", pa.string()),
    ("prediction", pa.string()),
    ("probability", pa.list_(pa.float32())),
    ("error", pa.string()),
]
_PREDICTION = pa.schema(_PREDICTION_FIELDS)
_NUMBER_FIELDS: list[tuple[str, pa.DataType]] = [
    ("path", pa.string()),
    ("label", pa.float64()),
    ("prediction", pa.float64()),
    ("error", pa.string()),
]
_NUMBER = pa.schema(_NUMBER_FIELDS)
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
class Scored:
    """A few hundred rows.

    Attributes:
        rows: As they came.
        chosen: The positions of those that could be predicted.
        outputs: Of these: probabilities (N, classes), or numbers (N, 1).
        errors: Of every row, why it could not be predicted.
    """

    rows: pa.RecordBatch
    chosen: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]
    errors: list[str | None]


def predict_classes(
    batches: Iterable[pa.RecordBatch], *, task: PredictorTask, weights: Weights
) -> Iterator[pa.RecordBatch]:
    """Task: one row of `PREDICTION_COLUMNS` for each example; an unusable one has the reason in ``error``."""
    labels = np.array(task.labels, dtype=object)
    for scored in score(batches, task, weights):
        predictions: list[str | None] = [None] * scored.rows.num_rows
        probabilities: list[npt.NDArray[np.float32] | None] = [None] * scored.rows.num_rows
        best = labels[scored.outputs.argmax(axis=1)] if len(scored.chosen) else ()
        for position, label, row in zip(scored.chosen, best, scored.outputs, strict=True):
            predictions[position], probabilities[position] = label, row
        columns = [_column(scored.rows, "path", pa.string()), _column(scored.rows, "label", pa.string())]
        columns += [pa.array(predictions, pa.string()), pa.array(probabilities, pa.list_(pa.float32()))]
        yield pa.RecordBatch.from_arrays([*columns, pa.array(scored.errors, pa.string())], schema=_PREDICTION)


def predict_numbers(
    batches: Iterable[pa.RecordBatch], *, task: PredictorTask, weights: Weights
) -> Iterator[pa.RecordBatch]:
    """Task: one row of `NUMBER_COLUMNS` for each example; an unusable one has the reason in ``error``."""
    for scored in score(batches, task, weights):
        predictions: list[float | None] = [None] * scored.rows.num_rows
        for position, number in zip(scored.chosen, scored.outputs[:, 0].tolist(), strict=True):
            predictions[position] = number
        columns = [_column(scored.rows, "path", pa.string()), _column(scored.rows, "label", pa.float64())]
        columns += [pa.array(predictions, pa.float64()), pa.array(scored.errors, pa.string())]
        yield pa.RecordBatch.from_arrays(columns, schema=_NUMBER)


def evaluate_examples(
    batches: Iterable[pa.RecordBatch], *, task: PredictorTask, weights: Weights
) -> Iterator[pa.RecordBatch]:
    """Task: one row of `EVALUATION_COLUMNS` for its examples."""
    from sparkweave.metrics.evaluation import Evaluation
    from sparkweave.metrics.regression import RegressionEvaluation

    evaluation = Evaluation(task.labels) if task.labels else RegressionEvaluation()
    index = {label: position for position, label in enumerate(task.labels)}
    bad: list[str] = []
    rows = 0
    for scored in score(batches, task, weights):
        rows += scored.rows.num_rows
        labels = _column(scored.rows, "label", pa.string() if index else pa.float64()).to_pylist()
        errors = [error or _label_error(label, index) for error, label in zip(scored.errors, labels, strict=True)]
        paths = _column(scored.rows, "path", pa.string()).to_pylist()
        bad += [f"{path}: {error}" for path, error in zip(paths, errors, strict=True) if error]
        kept = [number for number, position in enumerate(scored.chosen) if errors[position] is None]
        if kept:
            truth = [labels[position] for position in scored.chosen[kept]]
            actual = np.array([index[label] for label in truth]) if index else np.array(truth, np.float64)[:, None]
            evaluation.update(actual, scored.outputs[kept])
    row = {"evaluation": json.dumps(evaluation.to_dict()), "bad": len(bad), "rows": rows}
    yield pa.RecordBatch.from_pylist([{**row, "bad_reasons": bad[:BAD_SHOWN]}], schema=_EVALUATION)


def score(batches: Iterable[pa.RecordBatch], task: PredictorTask, weights: Weights) -> Iterator[Scored]:
    """Predicts rows of ``image`` or ``features``, a few hundred at a time."""
    from sparkweave.inference.predictor import BATCH_ROWS

    predictor = loaded(task, weights)
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            rows = batch.slice(start, BATCH_ROWS)
            yield Scored(rows, *outputs_of(rows, predictor))


def outputs_of(
    rows: pa.RecordBatch, predictor: Predictor
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], list[str | None]]:
    """The positions of the rows that could be predicted, their outputs, and every row's error, if it has one."""
    inputs, chosen, errors = input_rows(rows, predictor.task.input_shape)
    outputs = predictor(inputs)
    finite = np.isfinite(outputs).all(axis=1)
    for position in chosen[~finite]:
        errors[position] = "the network's output for it is not finite"
    return chosen[finite], outputs[finite], errors


def loaded(task: PredictorTask, weights: Weights) -> Predictor:
    """The network, kept from one task of this Python worker to the next."""
    from sparkweave.inference.predictor import Predictor

    device = _device_of_task()
    key = f"{task.model} on {device}"
    if key not in _predictors:
        _predictors[key] = Predictor(task, weights.value, device=device)
        while len(_predictors) > _KEPT_NETWORKS:
            _predictors.popitem(last=False)
        freeze_imports()
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


def _label_error(label: str | float | None, index: Mapping[str, int]) -> str | None:
    if label is None:
        return "it has no label; name images LABEL_ANYTHING.png" if index else "its label is null"
    if isinstance(label, float):
        return None if math.isfinite(label) else f"its label is {label}; it must be finite"
    if label not in index:
        known = ", ".join(list(index)[:BAD_SHOWN])
        return f"the model knows no label {label!r}; it was trained on {known}"
    return None


def _column(rows: pa.RecordBatch, name: str, kind: Any) -> Any:
    return rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, kind)

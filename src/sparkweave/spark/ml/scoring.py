"""A model's predictions as columns beside a DataFrame's own: only the input goes to Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from sparkweave.data.image_rows import DecodeOptions
from sparkweave.data.inputs import to_images
from sparkweave.inference.task import PredictorTask
from sparkweave.spark.scoring import Weights, loaded, outputs_of

if TYPE_CHECKING:
    from sparkweave.inference.predictor import Predictor

OUTPUT = "struct<output: array<double>, error: string>"
_OUTPUT_FIELDS: list[tuple[str, pa.DataType]] = [("output", pa.list_(pa.float64())), ("error", pa.string())]
_OUTPUT = pa.struct(_OUTPUT_FIELDS)


@dataclasses.dataclass(frozen=True)
class PredictInputs:
    """Task: each input's probabilities, or its number; or why there is none.

    Attributes:
        task: The model.
        weights: Of the network.
        invalid_is_error: End the job at the first input that can't be predicted.
    """

    task: PredictorTask
    weights: Weights
    invalid_is_error: bool

    def __call__(self, arrays: Iterator[pa.Array[Any]]) -> Iterator[pa.Array[Any]]:
        """One array of `OUTPUT` for each array of inputs."""
        from sparkweave.inference.predictor import BATCH_ROWS

        predictor = loaded(self.task, self.weights)
        for values in arrays:
            parts = [self._predict(predictor, values.slice(at, BATCH_ROWS)) for at in range(0, len(values), BATCH_ROWS)]
            yield pa.concat_arrays(parts) if parts else pa.array([], _OUTPUT)

    def _predict(self, predictor: Predictor, values: pa.Array[Any]) -> pa.StructArray:
        chosen, found, errors = outputs_of(self._rows(values), predictor)
        if self.invalid_is_error:
            _refuse(errors)
        outputs: list[Any] = [None] * len(values)
        for position, output in zip(chosen, found.astype(np.float64), strict=True):
            outputs[position] = output
        columns: list[Any] = [pa.array(outputs, pa.list_(pa.float64())), pa.array(errors, pa.string())]
        return pa.StructArray.from_arrays(columns, fields=list(_OUTPUT))

    def _rows(self, values: Any) -> pa.RecordBatch:
        if len(self.task.input_shape) == 1:
            return pa.RecordBatch.from_arrays([values], ["features"])
        channels, height, width = self.task.input_shape
        images, errors = to_images(values, DecodeOptions(height=height, width=width, channels=channels))
        return pa.RecordBatch.from_arrays([images, errors], ["image", "error"])


def _refuse(errors: Sequence[str | None]) -> None:
    first = next((error for error in errors if error is not None), None)
    if first is not None:
        raise ValueError(
            f"a row can't be predicted: {first}. Mend it, or setHandleInvalid('skip') or 'keep' to leave it out or without a prediction"
        )


def predicted(column: Column, predict: PredictInputs) -> Column:
    """`OUTPUT` of each input."""

    # Spark reads the annotations, and knows no others than these.
    def predict_inputs(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:  # type: ignore[type-arg]
        return predict(arrays)

    # What Spark takes for deterministic it calls once more below each filter on what comes out.
    function: Any = F.arrow_udf(predict_inputs, OUTPUT).asNondeterministic()  # type: ignore[attr-defined]
    result: Column = function(column)
    return result

"""A saved model as MLflow's flavour `pyfunc`: its data is the model as sparkweave saves it, and nothing is pickled.

What `mlflow.pyfunc.load_model` returns predicts from

- numpy arrays as `Predictor` takes them: uint8 images (rows, height, width, channels), vectors (rows, numbers);
- pandas DataFrames: one column of encoded images (PNG or JPEG, resized to the model's size), or one column for each number,

and gives what `Predictor` gives: float32 probabilities (rows, classes), or numbers (rows, 1).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sparkweave._version import __version__
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.data.images import decode
from sparkweave.errors import DataError, ImageError
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask


def pyfunc_options(artifact: ModelArtifact, data_path: str) -> dict[str, Any]:
    """What `mlflow.pyfunc.save_model` or ``log_model`` needs for a model that was saved at ``data_path``.

    Example:
        >>> artifact.save("model.zip")  # doctest: +SKIP
        >>> mlflow.pyfunc.save_model("mlflow-model", **pyfunc_options(artifact, "model.zip"))  # doctest: +SKIP
    """
    torch = importlib.metadata.version("torch").partition("+")[0]
    return {
        "loader_module": __name__,
        "data_path": data_path,
        "pip_requirements": [f"sparkweave=={__version__}", f"torch=={torch}"],
        "metadata": {name: artifact.config[name] for name in ("input_shape", "labels")},
        "model_config": {"allow_code": False},
    }


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> PyfuncModel:
    """What MLflow calls. User code is imported only with ``load_model(..., model_config={"allow_code": True})``."""
    allow_code = (model_config or {}).get("allow_code") is True
    return PyfuncModel(Predictor(*PredictorTask.of(ModelArtifact.load(path), allow_code=allow_code)))


class PyfuncModel:
    """A predictor as MLflow calls it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._shape = predictor.task.input_shape

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> npt.NDArray[np.float32]:
        """Predicts; see this module.

        Raises:
            DataError: if the input is none that the model takes.
        """
        if isinstance(model_input, pd.DataFrame):
            model_input = self._images(model_input) if len(self._shape) == 3 else model_input.to_numpy(np.float32)
        return self._predictor(self._checked(np.asarray(model_input)))

    def _checked(self, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        images = len(self._shape) == 3
        shape = (*self._shape[1:], self._shape[0]) if images else self._shape
        if inputs.shape[1:] != shape or not (inputs.dtype == np.uint8 if images else inputs.dtype.kind in "fiu"):
            raise DataError(
                f"the input has the shape {inputs.shape} and the type {inputs.dtype}; the model takes"
                f" {'uint8' if images else 'float32'} of the shape ({', '.join(map(str, ('rows', *shape)))})"
            )
        return inputs if images else inputs.astype(np.float32, copy=False)

    def _images(self, frame: pd.DataFrame) -> npt.NDArray[np.uint8]:
        if frame.shape[1] != 1:
            raise DataError(f"the DataFrame has {frame.shape[1]} columns; give one, of encoded images (PNG or JPEG)")
        channels, height, width = self._shape
        images = np.empty((len(frame), height, width, channels), np.uint8)
        for row, content in enumerate(frame.iloc[:, 0]):
            if not isinstance(content, bytes):
                raise DataError(f"row {row} is a {type(content).__name__}; give the bytes of an image (PNG or JPEG)")
            try:
                images[row] = decode(content, height=height, width=width, channels=channels)
            except ImageError as error:
                raise DataError(f"the image of row {row}: {error}") from error
        return images

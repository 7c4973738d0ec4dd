"""A network with its weights, ready to predict.

The same input gives the same bits, whatever batch it comes in: BLAS multiplies a few rows in another order than many (on AVX2 and
AVX-512 up to 3 rows with one thread, up to 11 with two, differ in the last bit from a large batch), so small batches are
filled up with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparkweave.artifacts.tensors import unpack_tensors
from sparkweave.data.batches import Normalization
from sparkweave.errors import ArtifactError
from sparkweave.inference.task import PredictorTask
from sparkweave.networks import build_network

BATCH_ROWS = 256
"""The most images that go through the network at once."""

_LEAST_ROWS_PER_THREAD = 8


class Predictor:
    """Images or vectors to probabilities of classes, or to a number.

    Attributes:
        task: What it predicts with.
        network: In evaluation mode, on ``device``.
        device: Where it computes.
    """

    def __init__(self, task: PredictorTask, weights: bytes, *, device: torch.device | None = None) -> None:
        """Builds the network.

        Args:
            task: The model.
            weights: A safetensors blob.
            device: Where to compute; the CPU by default.

        Raises:
            ConfigError: if the network can't be built, or is user code that isn't allowed.
            ArtifactError: if the blob is damaged, or of another network.
        """
        self.task = task
        self.device = device or torch.device("cpu")
        network = build_network(
            task.network, input_shape=task.input_shape, classes=task.outputs, allow_code=task.allow_code
        )
        try:
            network.load_state_dict(unpack_tensors(weights))
        except RuntimeError as error:
            raise ArtifactError(f"the weights don't fit the network: {str(error).splitlines()[-1].strip()}") from error
        self.network: nn.Module = network.eval().to(self.device)
        if len(task.input_shape) == 3:
            self.network.to(memory_format=torch.channels_last)
        self._normalization = Normalization(task.mean, task.deviation)

    def __call__(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Predicts.

        Args:
            inputs: uint8 images (N, height, width, channels), or float32 vectors (N, numbers).

        Returns:
            Probabilities, float32 (N, classes), or numbers, float32 (N, 1).
        """
        parts = [self._predict(inputs[start : start + BATCH_ROWS]) for start in range(0, len(inputs), BATCH_ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self.task.outputs), np.float32)

    def _predict(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        filled = _filled(inputs, _LEAST_ROWS_PER_THREAD * torch.get_num_threads() if self.device.type == "cpu" else 1)
        with torch.inference_mode():
            outputs = self.compute(torch.from_numpy(filled).to(self.device))
            result: npt.NDArray[np.float32] = outputs[: len(inputs)].cpu().numpy()
        return result

    def compute(self, inputs: torch.Tensor) -> torch.Tensor:
        """What `__call__` does to a batch, for whoever needs the computation itself, such as an export."""
        outputs: torch.Tensor = self.network(self._normalization(inputs)).float()
        if self.task.target is None:
            return outputs.softmax(dim=1)
        return outputs * self.task.target.deviation + self.task.target.mean


def try_out(predictor: Predictor, count: int) -> None:
    """Predicts ``count`` inputs of zeros: a model that was loaded is only known to be whole.

    Raises:
        ArtifactError: if it can't, or gives anything but finite numbers in the right shape.
    """
    shape = predictor.task.input_shape
    zeros = (
        np.zeros((count, *shape), np.float32)
        if len(shape) == 1
        else np.zeros((count, shape[1], shape[2], shape[0]), np.uint8)
    )
    try:
        outputs = predictor(zeros)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError(f"it can't predict: {str(error).splitlines()[0]}") from error
    if outputs.shape != (count, predictor.task.outputs) or not np.isfinite(outputs).all():
        raise ArtifactError(
            f"it predicts {outputs.shape} for {count} rows, or values that are not finite; train it again"
        )


def _filled(inputs: npt.NDArray[Any], least: int) -> npt.NDArray[Any]:
    """A copy, since torch can't promise not to write to it; with at least ``least`` rows."""
    filled = np.zeros((max(len(inputs), least), *inputs.shape[1:]), inputs.dtype)
    filled[: len(inputs)] = inputs
    return filled

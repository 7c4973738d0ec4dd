"""What a process has to know to predict with a model: plain data that travels with a Spark task."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.tensors import pack_tensors
from sparkweave.data.blocks import Shape
from sparkweave.data.scale import Scale
from sparkweave.errors import ArtifactError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorTask:
    """A network to predict with; its weights travel apart.

    Attributes:
        model: A name of its own for this network and these weights.
        network: What `sparkweave.networks.describe_network` returned.
        allow_code: Whether the network may be built by the user's own code.
        input_shape: (channels, height, width) of images, (numbers,) of vectors.
        labels: In the order of the classes; empty where numbers are predicted.
        mean: Of each channel, on the scale of [0, 1], or of each of a vector's numbers.
        deviation: Likewise.
        target: Of the numbers that are predicted, or None.
    """

    model: str
    network: Mapping[str, Any]
    allow_code: bool
    input_shape: Shape
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    target: Scale | None = None

    @property
    def outputs(self) -> int:
        """That the network has: one a class, or one for a number."""
        return len(self.labels) or 1

    @classmethod
    def of(cls, artifact: ModelArtifact, *, allow_code: bool = False) -> tuple[PredictorTask, bytes]:
        """The task of a saved model, and its weights as a safetensors blob.

        Raises:
            ArtifactError: if the model does not say how its images are to be prepared.
        """
        check_preprocessing(artifact.config)
        blob = pack_tensors(artifact.weights)
        description = json.dumps(artifact.config, sort_keys=True).encode()
        target = artifact.config.get("target")
        task = cls(
            model=hashlib.sha256(blob + description).hexdigest(),
            network=artifact.config["network"],
            allow_code=allow_code,
            input_shape=tuple(artifact.config["input_shape"]),
            labels=tuple(artifact.config["labels"]),
            mean=tuple(artifact.config["preprocessing"]["mean"]),
            deviation=tuple(artifact.config["preprocessing"]["deviation"]),
            target=Scale(**target) if target else None,
        )
        return task, blob


def check_preprocessing(config: Mapping[str, Any]) -> None:
    """Raises ArtifactError unless ``config`` says how inputs are prepared, and what outputs mean."""
    preprocessing = config.get("preprocessing")
    channels = config["input_shape"][0]
    if not isinstance(preprocessing, Mapping) or not all(
        isinstance(preprocessing.get(name), list | tuple) and len(preprocessing[name]) == channels
        for name in ("mean", "deviation")
    ):
        raise ArtifactError(f"preprocessing is {preprocessing!r:.200}; it must have a mean and a deviation a channel")
    if not all(map(_is_scale, preprocessing["mean"], preprocessing["deviation"])):
        raise ArtifactError(
            f"preprocessing is {preprocessing!r:.200}; means must be finite, and deviations greater than 0"
        )
    target = config.get("target")
    if config.get("task") == "regression" and not (
        isinstance(target, Mapping) and set(target) == {"mean", "deviation"} and _is_scale(**target)
    ):
        raise ArtifactError(
            f"target is {target!r:.200}; it must have the mean and the deviation of the numbers that are predicted"
        )


def _is_scale(mean: Any, deviation: Any) -> bool:
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in (mean, deviation))
    return numbers and deviation > 0

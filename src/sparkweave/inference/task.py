"""What a process has to know to predict with a model: plain data that travels with a Spark task."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.tensors import pack_tensors
from sparkweave.errors import ArtifactError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorTask:
    """A network to predict with; its weights travel apart.

    Attributes:
        model: A name of its own for this network and these weights.
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

    @classmethod
    def of(cls, artifact: ModelArtifact, *, allow_code: bool = False) -> tuple[PredictorTask, bytes]:
        """The task of a saved model, and its weights as a safetensors blob.

        Raises:
            ArtifactError: if the model does not say how its images are to be prepared.
        """
        check_preprocessing(artifact.config)
        blob = pack_tensors(artifact.weights)
        description = json.dumps(artifact.config, sort_keys=True).encode()
        channels, height, width = artifact.config["input_shape"]
        task = cls(
            model=hashlib.sha256(blob + description).hexdigest(),
            network=artifact.config["network"],
            allow_code=allow_code,
            input_shape=(channels, height, width),
            labels=tuple(artifact.config["labels"]),
            mean=tuple(artifact.config["preprocessing"]["mean"]),
            deviation=tuple(artifact.config["preprocessing"]["deviation"]),
        )
        return task, blob


def check_preprocessing(config: Mapping[str, Any]) -> None:
    """Raises ArtifactError unless ``config`` has the mean and the deviation of each channel."""
    preprocessing = config.get("preprocessing")
    channels = config["input_shape"][0]
    if not isinstance(preprocessing, Mapping) or any(
        len(preprocessing.get(name, ())) != channels for name in ("mean", "deviation")
    ):
        raise ArtifactError(f"preprocessing is {preprocessing!r:.200}; it must have a mean and a deviation a channel")

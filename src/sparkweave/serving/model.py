"""A model that is ready to answer: verified, warmed up, with what there is to say of it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ConfigError
from sparkweave.inference.predictor import Predictor, try_out
from sparkweave.inference.task import PredictorTask
from sparkweave.serving.inputs import Inputs, Outputs, inputs_of, outputs_of

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WARM_UP_ROUNDS = 2
_MOST_CLASSES = 100
"""Beyond, a confusion matrix is nothing for a page."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One version of a model.

    Attributes:
        name: What clients call it.
        version: The registry's, such as ``000003``.
        digest: Of its weights and description.
        predictor: Rows to outputs.
        inputs: What it takes.
        outputs: What it gives.
        facts: For people, by name.
        confusion: Examples by actual and predicted class, of its last evaluation in training; empty if unknown.
    """

    name: str
    version: str
    digest: str
    predictor: Predictor
    inputs: Inputs
    outputs: Outputs
    facts: Mapping[str, str]
    confusion: Sequence[Sequence[int]] = ()

    @classmethod
    def of(cls, artifact: ModelArtifact, *, name: str, version: str, allow_code: bool = False) -> ServedModel:
        """Builds the network of a saved model.

        Raises:
            ArtifactError: if the model is damaged, or lacks what predicting needs.
            ConfigError: if its network is user code that isn't allowed.
        """
        task, weights = PredictorTask.of(artifact, allow_code=allow_code)
        return cls(
            name=name,
            version=version,
            digest=task.model,
            predictor=Predictor(task, weights),
            inputs=inputs_of(task.input_shape),
            outputs=outputs_of(artifact.config),
            facts=_facts(artifact),
            confusion=_confusion(artifact),
        )

    def warm_up(self, images: int) -> None:
        """Predicts a lone row and a whole batch, so that no client waits for what a first prediction sets up.

        Raises:
            ArtifactError: if it can't, see `try_out`.
        """
        for count in (1, images) * _WARM_UP_ROUNDS:
            try_out(self.predictor, count)


def check_name(name: str) -> str:
    """``name`` if a model may be called so.

    Raises:
        ConfigError: if not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a model can't be called {name!r:.80}; use 1 to 64 of A-Z a-z 0-9 . _ -")
    return name


def name_of(url: str) -> str:
    """What a model at ``url`` is called unless said otherwise.

    >>> name_of("hdfs://nn/models/digits.zip"), name_of("models/my digits/")
    ('digits', 'my-digits')
    """
    last = url.rstrip("/").rpartition("/")[2].removesuffix(".zip")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last)[:64].strip("-") or "model"


def _facts(artifact: ModelArtifact) -> dict[str, str]:
    config = artifact.config
    network = config["network"]
    facts = {
        "Network": str(network.get("name", "user code") if isinstance(network, Mapping) else network)[:200],
        "Input": " × ".join(map(str, config["input_shape"])),
        "Weights": f"{sum(math.prod(tensor.shape) for tensor in artifact.weights.values()):,}",
    }
    names = {
        "epoch": {"epoch": "Epochs", "loss": "Training loss"},
        "evaluation": {"accuracy": "Test accuracy", "loss": "Test loss", "examples": "Test examples"},
    }
    for record in artifact.history:
        for field, title in names.get(str(record.get("event")), {}).items():
            if isinstance(record.get(field), int | float):
                facts[title] = _figure(record[field])
    return facts | {f"Trained with {name}": str(version) for name, version in config.get("versions", {}).items()}


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _confusion(artifact: ModelArtifact) -> Sequence[Sequence[int]]:
    """The model's own, if it is one: the page must not stumble over a stranger's."""
    found, size = (artifact.evaluation or {}).get("confusion"), len(artifact.config["labels"])
    if not isinstance(found, list) or len(found) != size or size > _MOST_CLASSES:
        return ()
    if not all(isinstance(row, list) and len(row) == size for row in found):
        return ()
    return found if all(type(count) is int and count >= 0 for row in found for count in row) else ()

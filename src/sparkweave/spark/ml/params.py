"""The Params of the estimators and models: names and checks as `pyspark.ml` has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasFeaturesCol,
    HasLabelCol,
    HasPredictionCol,
    HasProbabilityCol,
    HasRawPredictionCol,
    HasSeed,
    HasValidationIndicatorCol,
    HasWeightCol,
)

from sparkweave.config import PRECISIONS, SCHEDULES, TrainingConfig, require_choice
from sparkweave.distributed.network import Network
from sparkweave.errors import ConfigError

INVALID = ("error", "skip", "keep")
_DEFAULTS = TrainingConfig()
_PARAM_OF = {
    "epochs": "epochs",
    "batch_size": "batchSize",
    "workers": "numWorkers",
    "learning_rate": "learningRate",
    "optimizer": "optimizer",
    "optimizer_options": "optimizerOptions",
    "schedule": "schedule",
    "precision": "precision",
    "max_bad_fraction": "maxBadFraction",
    "seed": "seed",
    "patience": "patience",
}
"""By the field of `TrainingConfig` that takes its value as it is."""


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give a mapping of names to values")
    return dict(value)


def _text_or_mapping(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise TypeError(f"{value!r} is a {type(value).__name__}; give a network's name, its file, or its description")
    return value if isinstance(value, str) else dict(value)


def _param(name: str, doc: str, converter: Any) -> Param[Any]:
    return Param(Params._dummy(), name, doc, converter)


class TrainingParams(HasFeaturesCol, HasPredictionCol, HasLabelCol, HasWeightCol, HasValidationIndicatorCol, HasSeed):
    """What a training needs to know, and its model keeps; defaults are those of `sparkweave.TrainingConfig`."""

    handleInvalid: Param[str] = _param(
        "handleInvalid",
        "what becomes of a row that can't be predicted: 'error' ends the job, 'skip' leaves the row out, 'keep' keeps it "
        "without a prediction",
        TypeConverters.toString,
    )
    network: Param[Any] = _param(
        "network", "a built-in network, a YAML file of layers, module:factory, or a description", _text_or_mapping
    )
    epochs: Param[int] = _param("epochs", "passes over the training rows", TypeConverters.toInt)
    batchSize: Param[int] = _param("batchSize", "rows a step and worker", TypeConverters.toInt)
    numWorkers: Param[int] = _param(
        "numWorkers", "workers, each one Spark task; unset: as many as the session runs at once", TypeConverters.toInt
    )
    learningRate: Param[float] = _param("learningRate", "the (peak) learning rate", TypeConverters.toFloat)
    optimizer: Param[str] = _param("optimizer", "a torch.optim class", TypeConverters.toString)
    optimizerOptions: Param[Any] = _param("optimizerOptions", "further arguments of the optimizer", _mapping)
    schedule: Param[str] = _param("schedule", f"one of {', '.join(SCHEDULES)}", TypeConverters.toString)
    precision: Param[str] = _param("precision", f"one of {', '.join(PRECISIONS)}", TypeConverters.toString)
    strategy: Param[str] = _param(
        "strategy",
        "how the workers' networks are kept the same: parameter-averaging, all-reduce or gradient-sharing",
        TypeConverters.toString,
    )
    strategyOptions: Param[Any] = _param("strategyOptions", "options of the strategy by name", _mapping)
    trainingOptions: Param[Any] = _param(
        "trainingOptions",
        "further options of sparkweave.TrainingConfig by name, such as {'max_restarts': 5}; a Param that says the same is refused",
        _mapping,
    )
    networkOptions: Param[Any] = _param(
        "networkOptions",
        "how workers reach each other: options of sparkweave.Network by name, such as {'transport': 'spark'}",
        _mapping,
    )
    patience: Param[int] = _param(
        "patience",
        "end the training after so many epochs in a row without a lower loss on the validation rows, which count "
        "alike whatever their weights, and take the model of the best epoch; unset: train all epochs",
        TypeConverters.toInt,
    )
    augment: Param[list[str]] = _param("augment", "augmentations of images", TypeConverters.toListString)
    imageSize: Param[list[int]] = _param(
        "imageSize", "[height, width] to resize images to; unset: as they are", TypeConverters.toListInt
    )
    channels: Param[int] = _param("channels", "1 (gray) or 3 (RGB); unset: as the images are", TypeConverters.toInt)
    maxBadFraction: Param[float] = _param(
        "maxBadFraction", "share of unusable rows that is left out in training, not refused", TypeConverters.toFloat
    )
    checkpointDir: Param[str] = _param(
        "checkpointDir",
        "where the state is kept after each segment, for one fit at a time, so not in a CrossValidator; unset: nowhere",
        TypeConverters.toString,
    )
    overwrite: Param[bool] = _param(
        "overwrite", "start anew where the checkpoints of an earlier fit are", TypeConverters.toBoolean
    )
    resume: Param[bool] = _param("resume", "go on from the newest checkpoint there", TypeConverters.toBoolean)

    def value(self, name: str) -> Any:
        """Of the Param ``name``, or None if it is not set and has no default."""
        param = self.getParam(name)
        return self.getOrDefault(param) if self.isDefined(param) else None

    def training_config(self, **others: Any) -> TrainingConfig:
        """The options of the trainer.

        Raises:
            ConfigError: if a Param breaks its rule.
        """
        validated = bool(self.value("validationIndicatorCol"))
        if self.value("patience") is not None and not validated:
            raise ConfigError(
                f"patience is {self.value('patience')}, and there are no validation rows; set validationIndicatorCol"
            )
        own = {
            **{field: self.value(param) for field, param in _PARAM_OF.items()},
            "augment": tuple(self.value("augment")),
            "evaluate_every": 1 if validated else 0,
            **others,
        }
        further = self.value("trainingOptions")
        allowed = sorted({field.name for field in dataclasses.fields(TrainingConfig)} - own.keys())
        for name in further:
            if name not in allowed:
                raise ConfigError(f"trainingOptions has {name!r}; it takes {', '.join(allowed)}; Params say the rest")
        return TrainingConfig(**own, **further)

    def interconnect(self) -> Network:
        """How workers reach each other.

        Raises:
            ConfigError: if one of ``networkOptions`` breaks its rule.
        """
        options = self.value("networkOptions")
        if "ports" in options and options["ports"] is not None:
            options = {**options, "ports": tuple(options["ports"])}  # JSON, in which Params are saved, has lists alone
        try:
            return Network(**options)
        except TypeError as error:
            names = ", ".join(field.name for field in dataclasses.fields(Network))
            raise ConfigError(f"networkOptions are {options!r}; it takes {names}: {error}") from error

    def check_invalid(self) -> None:
        """Raises ConfigError if ``handleInvalid`` has none of its values."""
        require_choice("handleInvalid", self.value("handleInvalid"), INVALID)

    def _set_training_defaults(self) -> None:
        self._setDefault(
            handleInvalid="error",
            epochs=_DEFAULTS.epochs,
            batchSize=_DEFAULTS.batch_size,
            learningRate=_DEFAULTS.learning_rate,
            optimizer=_DEFAULTS.optimizer,
            optimizerOptions={},
            schedule=_DEFAULTS.schedule,
            precision=_DEFAULTS.precision,
            strategy="parameter-averaging",
            strategyOptions={},
            trainingOptions={},
            networkOptions={},
            augment=[],
            maxBadFraction=0.0,
            overwrite=False,
            resume=False,
            seed=0,
        )


class ClassifierParams(TrainingParams, HasProbabilityCol, HasRawPredictionCol):
    """Those of a classifier besides."""

    labelSmoothing: Param[float] = _param("labelSmoothing", "of the cross-entropy loss", TypeConverters.toFloat)

    def _set_training_defaults(self) -> None:
        super()._set_training_defaults()
        self._setDefault(labelSmoothing=0.0)


class RegressorParams(TrainingParams):
    """Those of a regressor besides."""

    loss: Param[str] = _param("loss", "'mse' or 'l1'", TypeConverters.toString)

    def _set_training_defaults(self) -> None:
        super()._set_training_defaults()
        self._setDefault(loss="mse")

"""What classifiers and regressors have in common: fitting, scoring, saving and loading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pyspark import keyword_only
from pyspark.ml.base import Estimator, Model
from pyspark.ml.param import Params
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsWritable,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkweave.config import TrainingConfig
from sparkweave.data.image_rows import DecodeOptions
from sparkweave.errors import ConfigError, DataError
from sparkweave.inference.task import PredictorTask
from sparkweave.spark.ml.columns import Kind, Labelled, examples, inputs_of, kind_of
from sparkweave.spark.ml.params import TrainingParams
from sparkweave.spark.ml.persistence import ModelReader, ModelWriter, ParamsWriter
from sparkweave.spark.ml.scoring import PredictInputs, predicted
from sparkweave.spark.ml.summary import TrainingSummary
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import STRATEGIES
from sparkweave.training.callbacks import Callback

Fitted = TypeVar("Fitted", bound="TorchModel")
_OUTPUT = "sparkweave_output"


class TorchEstimator(
    Estimator[Fitted],
    TrainingParams,
    DefaultParamsReadable["TorchEstimator[Fitted]"],
    DefaultParamsWritable,
    Generic[Fitted],
):
    """Trains with `sparkweave.Trainer`."""

    _is_number = False

    @keyword_only
    def __init__(self, **params: Any) -> None:
        """Takes every Param by its name; ``explainParams()`` lists them."""
        super().__init__()
        self._callbacks: tuple[Callback, ...] = ()
        self._set_training_defaults()
        self.setParams(**params)

    @keyword_only
    def setParams(self, **params: Any) -> Self:
        """Sets Params by their names.

        Raises:
            TypeError: if there is no Param of a name.
        """
        unknown = [name for name in params if not self.hasParam(name)]
        if unknown:
            names = ", ".join(param.name for param in self.params)
            raise TypeError(f"{type(self).__name__} has no Param {', '.join(unknown)}; it has {names}")
        return self._set(**params)

    def setCallbacks(self, *callbacks: Callback) -> Self:
        """Who is told of what happens in a fit, on the driver (`sparkweave.Callback`); they are not saved."""
        self._callbacks = callbacks
        return self

    if TYPE_CHECKING:  # the setters and getters, see `with_accessors`

        def __getattr__(self, name: str) -> Any: ...

    def write(self) -> MLWriter:
        """Saves Params."""
        return ParamsWriter(self)

    def _fit(self, dataset: DataFrame) -> Fitted:
        self.check_invalid()
        kind = kind_of(dataset, self.getFeaturesCol())
        trainer = self._trainer(kind, dataset)
        training, validation = self._split(dataset)
        options = self._decoding()
        columns = self._columns()
        test = None if validation is None else examples(validation, columns, options)
        fitted: Fitted = copied_params(self, self._fitted(trainer.fit(examples(training, columns, options), test)))
        return fitted

    def _trainer(self, kind: Kind, dataset: DataFrame) -> Trainer:
        network = self.value("network") or ("lenet" if kind.is_image else "mlp")
        options: Any = self.value("strategyOptions")
        strategy: Any = STRATEGIES.get(self.value("strategy"))
        if strategy is None:
            raise ConfigError(f"strategy is {self.value('strategy')!r}; choose one of {', '.join(STRATEGIES)}")
        try:
            made = strategy(**options)
        except TypeError as error:
            raise ConfigError(
                f"strategyOptions are {options!r}, and {self.value('strategy')} takes others: {error}"
            ) from error
        return Trainer(
            network,
            strategy=made,
            config=self._config(),
            callbacks=self._callbacks,
            interconnect=self.interconnect(),
            checkpoint_dir=self.value("checkpointDir"),
            resume=self.value("resume"),
            overwrite=self.value("overwrite"),
            index_labels=self._has_indexes(dataset),
        )

    def _split(self, dataset: DataFrame) -> tuple[DataFrame, DataFrame | None]:
        """The rows to train on, and those to validate with."""
        indicator = self.value("validationIndicatorCol") or None
        if indicator is None:
            return dataset, None
        if indicator not in dataset.columns:
            raise DataError(f"the DataFrame has no column {indicator} (it has {', '.join(dataset.columns)})")
        is_validation = F.coalesce(F.col(indicator).cast("boolean"), F.lit(False))  # noqa: FBT003 - Spark's
        return dataset.where(~is_validation), dataset.where(is_validation)

    def _decoding(self) -> DecodeOptions:
        size = self.value("imageSize") or (None, None)
        if len(size) != 2:
            raise ConfigError(f"imageSize is {size}; give [height, width]")
        height, width = size
        return DecodeOptions(height=height, width=width, channels=self.value("channels"))

    def _columns(self) -> Labelled:
        return Labelled(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=self.value("weightCol") or None,
            is_number=self._is_number,
        )

    def _config(self) -> TrainingConfig:
        raise NotImplementedError

    def _has_indexes(self, dataset: DataFrame) -> bool:
        return False

    def _fitted(self, model: TrainedModel) -> Fitted:
        raise NotImplementedError


class TorchModel(Model, TrainingParams, MLReadable["TorchModel"], MLWritable):
    """A trained network as a `pyspark.ml` transformer."""

    if TYPE_CHECKING:  # the setters and getters, see `with_accessors`

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, trained: TrainedModel | None = None) -> None:
        """Made by an estimator's ``fit``, or by ``load``."""
        super().__init__()
        self._trained = trained
        self._set_training_defaults()

    @property
    def trained(self) -> TrainedModel:
        """The model as the rest of sparkweave knows it: evaluate it, save it, serve it, take the plain network."""
        assert self._trained is not None, "fit and load set it"
        return self._trained

    @property
    def summary(self) -> TrainingSummary:
        """The history of its training."""
        return TrainingSummary.of(self.trained)

    @property
    def hasSummary(self) -> bool:
        """Always: the history is saved with the model."""
        return True

    def allowCode(self) -> Self:
        """Trusts the user's own code that builds the network, where a model that was loaded has such."""
        self._trained = TrainedModel(self.trained.artifact, allow_code=True)
        return self

    def copy(self, extra: Any = None) -> Self:
        """A copy with other Params; the network is shared."""
        copied: Self = super().copy(extra)
        copied._trained = self._trained
        return copied

    def write(self) -> MLWriter:
        """Saves Params and the model; the folder ``model`` in there is one that every command takes."""
        return ModelWriter(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        """Loads what `write` saved."""
        return ModelReader(cls)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_invalid()
        kind, column = inputs_of(dataset, self.getFeaturesCol())
        self._check_kind(kind)
        task, weights = self.trained.predictor[0], self.trained.weights_in(dataset.sparkSession)
        predict = PredictInputs(task, weights, invalid_is_error=self.value("handleInvalid") == "error")
        columns = self._predictions(task, F.col(_OUTPUT)["output"])
        _require_new(columns, dataset)
        scored = dataset.withColumn(_OUTPUT, predicted(column, predict))
        if self.value("handleInvalid") == "skip":
            scored = scored.where(F.col(_OUTPUT)["output"].isNotNull())
        return scored.withColumns(columns).drop(_OUTPUT)

    def _check_kind(self, kind: Kind) -> None:
        if kind.is_image != (len(self.trained.input_shape) == 3):
            takes = "images" if len(self.trained.input_shape) == 3 else "vectors or arrays of numbers"
            raise DataError(
                f"the column {self.getFeaturesCol()} holds {kind.value}, and the model was trained on {takes}"
            )

    def _predictions(self, task: PredictorTask, output: Column) -> dict[str, Column]:
        raise NotImplementedError


def _require_new(columns: Iterable[str], dataset: DataFrame) -> None:
    """Raises DataError if a prediction would take another column's place."""
    there = {name.lower() for name in dataset.columns}  # as Spark compares them
    for name in columns:
        if name.lower() in there:
            raise DataError(
                f"the DataFrame has a column {name} already; drop it, or name another one for what the model says (predictionCol, "
                "probabilityCol, rawPredictionCol)"
            )


def copied_params(source: Params, target: Params) -> Any:
    """``target`` with the uid of ``source``, as Spark's models have it, and with the Params that both have."""
    target._resetUid(source.uid)
    for param in source.params:
        if target.hasParam(param.name):
            if source.isSet(param):
                target._set(**{param.name: source.getOrDefault(param)})
            elif source.hasDefault(param):
                target._setDefault(**{param.name: source.getOrDefault(param)})
    return target

"""`TorchRegressor`: a number from images, vectors or arrays, as a `pyspark.ml` estimator."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.sql import Column, DataFrame

from sparkweave.config import TrainingConfig
from sparkweave.inference.task import PredictorTask
from sparkweave.spark.ml.accessors import with_accessors
from sparkweave.spark.ml.base import TorchEstimator, TorchModel, copied_params
from sparkweave.spark.ml.columns import Labelled
from sparkweave.spark.ml.params import RegressorParams
from sparkweave.spark.model import TrainedModel


@with_accessors
class TorchRegressionModel(TorchModel, RegressorParams):
    """What `TorchRegressor.fit` returns."""

    def _predictions(self, task: PredictorTask, output: Column) -> dict[str, Column]:
        return {self.getPredictionCol(): output[0]} if self.getPredictionCol() else {}


@with_accessors
class TorchRegressor(TorchEstimator[TorchRegressionModel], RegressorParams):
    """Trains a network to predict a number of each row.

    Example:
        >>> model = TorchRegressor(epochs=50, network="mlp").fit(df)  # columns features and label  # doctest: +SKIP
    """

    @keyword_only
    def __init__(self, **params: Any) -> None:
        """Takes every Param by its name; ``explainParams()`` lists them."""
        super().__init__()
        self._set_training_defaults()
        self._set(**params)

    @keyword_only
    def setParams(self, **params: Any) -> TorchRegressor:
        """Sets Params by their names."""
        return self._set(**params)

    def _columns(self) -> Labelled:
        return Labelled(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=self.value("weightCol") or None,
            is_number=True,
        )

    def _config(self) -> TrainingConfig:
        return self.training_config(loss=self.value("loss"))

    def _fitted(self, model: TrainedModel, dataset: DataFrame) -> TorchRegressionModel:
        fitted: TorchRegressionModel = copied_params(self, TorchRegressionModel(model))
        return fitted

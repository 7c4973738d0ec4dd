"""`TorchRegressor`: a number from images, vectors or arrays, as a `pyspark.ml` estimator."""

from __future__ import annotations

from pyspark.sql import Column

from sparkweave.config import TrainingConfig
from sparkweave.inference.task import PredictorTask
from sparkweave.spark.ml.accessors import with_accessors
from sparkweave.spark.ml.base import TorchEstimator, TorchModel
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

    _is_number = True

    def _config(self) -> TrainingConfig:
        return self.training_config(loss=self.value("loss"))

    def _fitted(self, model: TrainedModel) -> TorchRegressionModel:
        return TorchRegressionModel(model)

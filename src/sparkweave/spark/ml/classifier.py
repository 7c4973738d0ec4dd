"""`TorchClassifier`: classes from images, vectors or arrays, as a `pyspark.ml` estimator."""

from __future__ import annotations

import sys

from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkweave.config import TrainingConfig
from sparkweave.inference.task import PredictorTask
from sparkweave.spark.ml.accessors import with_accessors
from sparkweave.spark.ml.base import TorchEstimator, TorchModel
from sparkweave.spark.ml.columns import has_indexes
from sparkweave.spark.ml.params import ClassifierParams
from sparkweave.spark.model import TrainedModel

_LEAST = sys.float_info.min
"""A probability of 0 is no logarithm's argument."""


@with_accessors
class TorchClassificationModel(TorchModel, ClassifierParams):
    """What `TorchClassifier.fit` returns."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        return self.trained.labels

    @property
    def numClasses(self) -> int:
        """How many there are."""
        return len(self.labels)

    def _predictions(self, task: PredictorTask, output: Column) -> dict[str, Column]:
        best = F.array_position(output, F.array_max(output)).cast("int")
        labels = F.array(*map(F.lit, task.labels))
        label = F.when(output.isNotNull(), F.element_at(labels, best))
        if self.trained.config.get("index_labels"):
            label = label.cast("double")
        columns = {self.getPredictionCol(): label} if self.getPredictionCol() else {}
        if self.getProbabilityCol():
            columns[self.getProbabilityCol()] = F.when(output.isNotNull(), array_to_vector(output))
        if self.getRawPredictionCol():
            logarithms = F.transform(output, lambda value: F.log(F.greatest(value, F.lit(_LEAST))))
            columns[self.getRawPredictionCol()] = F.when(output.isNotNull(), array_to_vector(logarithms))
        return columns


@with_accessors
class TorchClassifier(TorchEstimator[TorchClassificationModel], ClassifierParams):
    """Trains a network to classify rows.

    Labels are whole numbers from 0, which Spark's evaluators want (then there is a class for each number up to the largest one,
    and predictions are doubles), or text (then predictions are text). The raw prediction is the logarithm of each probability.

    Example:
        >>> classifier = TorchClassifier(epochs=20, batchSize=32, numWorkers=2)  # doctest: +SKIP
        >>> model = classifier.fit(df)  # columns features and label  # doctest: +SKIP
        >>> model.transform(df).select("prediction", "probability")  # doctest: +SKIP
    """

    def _config(self) -> TrainingConfig:
        return self.training_config(label_smoothing=self.value("labelSmoothing"))

    def _has_indexes(self, dataset: DataFrame) -> bool:
        return has_indexes(dataset, self.getLabelCol())

    def _fitted(self, model: TrainedModel) -> TorchClassificationModel:
        return TorchClassificationModel(model)

"""A trained model: evaluate and transform DataFrames of examples, save, load, or take the plain network."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql.types import StringType

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.data.blocks import BAD_SHOWN
from sparkweave.data.summary import check_bad
from sparkweave.errors import ArtifactError, DataError
from sparkweave.inference.task import PredictorTask, check_preprocessing
from sparkweave.metrics.document import from_document
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.metrics.regression import RegressionEvaluation
from sparkweave.networks import build_network
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.dataset import example_columns, require_examples
from sparkweave.spark.jobs import described
from sparkweave.spark.runtime import runtime_of
from sparkweave.spark.scoring import (
    EVALUATION_COLUMNS,
    NUMBER_COLUMNS,
    PREDICTION_COLUMNS,
    evaluate_examples,
    predict_classes,
    predict_numbers,
)
from sparkweave.spark.storage import storage_for

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from torch import nn

    from sparkweave.spark.runtime import Shared


class TrainedModel:
    """What `Trainer.fit` returns and `load` reads.

    Attributes:
        evaluation: On the test images that `Trainer.fit` was given, after the epoch that the model is of; else None. It is saved
            with the model.

    Example:
        >>> model = TrainedModel.load("model.zip")  # doctest: +SKIP
        >>> print(model.evaluate(read_image_archives(spark, "test.zip")).stats())  # doctest: +SKIP
    """

    def __init__(self, artifact: ModelArtifact, *, allow_code: bool = False) -> None:
        """Wraps ``artifact``; see `load`."""
        self.artifact = artifact
        self._allow_code = allow_code
        self._sent: tuple[str, Shared] | None = None
        self.evaluation: Evaluation | RegressionEvaluation | None = None
        if artifact.evaluation is not None:
            self.evaluation = from_document(artifact.evaluation, class_names=self.class_names)

    @classmethod
    def load(cls, url: str, *, allow_code: bool = False) -> TrainedModel:
        """Reads the model at ``url``, a folder or a ``.zip``.

        Args:
            url: Where it was saved; anything but a path on the local disk is reached through the running Spark session.
            allow_code: Whether a network of the user's own code may be imported.

        Raises:
            ArtifactError: if there is none, or it is not exactly what was saved.
        """
        artifact = ModelArtifact.load(url, storage=storage_for(url))
        try:
            check_preprocessing(artifact.config)
            model = cls(artifact, allow_code=allow_code)
        except ArtifactError as error:
            raise ArtifactError(f"{url}: {error}") from error
        return model

    def save(self, url: str, *, save_optimizer: bool = True, overwrite: bool = False) -> None:
        """Writes the model at ``url``: one file if that ends in ``.zip``, else a folder.

        Args:
            url: Where to; nothing may be there, unless ``overwrite``.
            save_optimizer: Keep the optimizer's state too, if the strategy kept it.
            overwrite: Replace what is there; the old model stays whole until the new one is.

        Raises:
            ArtifactError: if something is in the way or the disk refuses.
        """
        self.artifact.save(url, save_optimizer=save_optimizer, overwrite=overwrite, storage=storage_for(url))

    def network(self) -> nn.Module:
        """A plain network with the trained weights, in evaluation mode on the CPU.

        It takes float32 (N, C, H, W) or (N, numbers), see ``config["preprocessing"]``, and returns logits (N, classes), or numbers
        (N, 1) on the scale of ``config["target"]``.
        """
        network = build_network(
            self.config["network"],
            input_shape=self.input_shape,
            classes=len(self.labels) or 1,
            allow_code=self._allow_code,
        )
        network.load_state_dict(dict(self.artifact.weights))
        return network.eval()

    @property
    def config(self) -> Mapping[str, Any]:
        """Network, input shape, preprocessing, labels, versions: what ``config.json`` holds."""
        return self.artifact.config

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """What happened in training, as records of `sparkweave.events`."""
        return self.artifact.history

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width) of images, (numbers,) of vectors."""
        return tuple(self.config["input_shape"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width).

        Raises:
            ArtifactError: if the model does not take images.
        """
        if len(self.input_shape) != 3:
            raise ArtifactError(
                f"the model takes vectors of {self.input_shape[0]} numbers, and this needs one that takes images; "
                "predict vectors with TrainedModel.transform"
            )
        channels, height, width = self.input_shape
        return channels, height, width

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the network's outputs; none where it predicts a number."""
        return tuple(self.config["labels"])

    @property
    def class_names(self) -> dict[str, str]:
        """Class name by label; a label without one stands for itself."""
        names = self.config.get("class_names") or {}
        return {label: names.get(label, label) for label in self.labels}

    def evaluate(self, df: DataFrame, *, max_bad_fraction: float = 0.0) -> Evaluation | RegressionEvaluation:
        """Measures the model on labelled examples, in all of the DataFrame's partitions.

        Args:
            df: As `read_image_archives` returns it.
            max_bad_fraction: Share of unusable images that is left out.

        Raises:
            DataError: if more are unusable, or there are none at all.
        """
        require_examples(df)
        if not self.labels and isinstance(df.schema["label"].dataType, StringType):
            raise DataError(
                "the model predicts a number, and the labels of the DataFrame are text; give them as a column label of type double"
            )
        with described(df.sparkSession, "evaluating"):
            rows = self._scored(df, evaluate_examples, EVALUATION_COLUMNS).collect()
        total = self._merged([json.loads(row["evaluation"]) for row in rows])
        reasons = sorted(reason for row in rows for reason in row["bad_reasons"])[:BAD_SHOWN]
        total.left_out, total.left_out_reasons = sum(row["bad"] for row in rows), tuple(reasons)
        check_bad(total.left_out, sum(row["rows"] for row in rows), reasons, max_bad_fraction)
        if not total.examples:
            raise DataError("there is not one example to evaluate on; give archives of images named LABEL_NAME.png")
        return total

    def _merged(self, counts: Sequence[Mapping[str, Any]]) -> Evaluation | RegressionEvaluation:
        if not self.labels:
            numbers = RegressionEvaluation()
            for part in counts:
                numbers.merge(RegressionEvaluation.from_dict(part))
            return numbers
        classes = Evaluation(self.labels, class_names=self.class_names)
        for part in counts:
            classes.merge(Evaluation.from_dict(part))
        return classes

    def transform(self, df: DataFrame) -> DataFrame:
        """Predicts each example, lazily; ``df`` may be a stream.

        Args:
            df: Columns ``image`` (height, width, channels, data) or ``features`` (an array of floats) and, optionally, ``path``,
                ``label`` and ``error``.

        Returns:
            Columns ``path``, ``label``, ``prediction`` (a label, or a number), ``probability`` (by class, where there are classes)
            and ``error``, which has the reason where an example can't be predicted.
        """
        column = "image" if len(self.input_shape) == 3 else "features"
        if column not in df.columns:
            raise DataError(f"the DataFrame has no column {column} (it has {', '.join(df.columns)})")
        if self.labels:
            return self._scored(df, predict_classes, PREDICTION_COLUMNS)
        return self._scored(df, predict_numbers, NUMBER_COLUMNS)

    def _scored(self, df: DataFrame, function: Any, columns: str) -> DataFrame:
        task, weights = self.predictor[0], self.weights_in(df.sparkSession)
        return map_batches(example_columns(df), bound(function, task=task, weights=weights), columns)

    def weights_in(self, spark: SparkSession) -> Shared:
        """Sent once an application, not once for each batch of a stream, whose session is always a new one."""
        application = spark.conf.get("spark.app.id") or ""
        if self._sent is None or self._sent[0] != application:
            [weights] = runtime_of(spark).share(self.predictor[1])
            self._sent = application, weights
        return self._sent[1]

    @functools.cached_property
    def predictor(self) -> tuple[PredictorTask, bytes]:
        """What a process needs to predict: see `sparkweave.inference.predictor.Predictor`."""
        return PredictorTask.of(self.artifact, allow_code=self._allow_code)

"""A trained model: evaluate and transform DataFrames of images, save, load, or take the plain network."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.data.blocks import BAD_SHOWN
from sparkweave.data.summary import check_bad
from sparkweave.errors import ArtifactError, DataError
from sparkweave.inference.task import PredictorTask, check_preprocessing
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.networks import build_network
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.dataset import image_columns, require_images
from sparkweave.spark.jobs import described
from sparkweave.spark.scoring import (
    EVALUATION_COLUMNS,
    PREDICTION_COLUMNS,
    evaluate_images,
    predict_images,
)
from sparkweave.spark.storage import storage_for

if TYPE_CHECKING:
    from torch import nn

_MOST_CONFUSED = 100
"""Classes, beyond which a confusion matrix is for programs rather than for a model's page."""


class TrainedModel:
    """What `Trainer.fit` returns and `load` reads.

    Attributes:
        evaluation: On the test images that `Trainer.fit` was given, after the last epoch; else None.

    Example:
        >>> model = TrainedModel.load("model.zip")  # doctest: +SKIP
        >>> print(model.evaluate(read_image_archives(spark, "test.zip")).stats())  # doctest: +SKIP
    """

    def __init__(self, artifact: ModelArtifact, *, allow_code: bool = False) -> None:
        """Wraps ``artifact``; see `load`."""
        self.artifact = artifact
        self.evaluation: Evaluation | None = None
        self._allow_code = allow_code

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
        except ArtifactError as error:
            raise ArtifactError(f"{url}: {error}") from error
        return cls(artifact, allow_code=allow_code)

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

        It takes float32 (N, C, H, W), see ``config["preprocessing"]``, and returns logits (N, classes).
        """
        network = build_network(
            self.config["network"], input_shape=self.input_shape, classes=len(self.labels), allow_code=self._allow_code
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
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.config["input_shape"]
        return channels, height, width

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the network's outputs."""
        return tuple(self.config["labels"])

    @property
    def class_names(self) -> dict[str, str]:
        """Class name by label; a label without one stands for itself."""
        names = self.config.get("class_names") or {}
        return {label: names.get(label, label) for label in self.labels}

    def keep(self, evaluation: Evaluation | None) -> None:
        """Takes ``evaluation`` for the model's own, and keeps its confusion matrix with the model, unless that is large."""
        self.evaluation = evaluation
        if evaluation is not None and len(evaluation.labels) <= _MOST_CONFUSED:
            config = {**self.artifact.config, "confusion": evaluation.confusion.tolist()}
            self.artifact = dataclasses.replace(self.artifact, config=config)

    def evaluate(self, df: DataFrame, *, max_bad_fraction: float = 0.0) -> Evaluation:
        """Measures the model on labelled images, in all of the DataFrame's partitions.

        Args:
            df: As `read_image_archives` returns it.
            max_bad_fraction: Share of unusable images that is left out.

        Raises:
            DataError: if more are unusable, or there are none at all.
        """
        require_images(df)
        with described(df.sparkSession, "evaluating"):
            rows = self._scored(df, evaluate_images, EVALUATION_COLUMNS).collect()
        total = Evaluation(self.labels, class_names=self.class_names)
        for row in rows:
            total.merge(Evaluation.from_dict(json.loads(row["evaluation"])))
        reasons = sorted(reason for row in rows for reason in row["bad_reasons"])[:BAD_SHOWN]
        total.left_out, total.left_out_reasons = sum(row["bad"] for row in rows), tuple(reasons)
        check_bad(total.left_out, sum(row["rows"] for row in rows), reasons, max_bad_fraction)
        if not total.examples:
            raise DataError("there is not one image to evaluate on; give archives of images named LABEL_NAME.png")
        return total

    def transform(self, df: DataFrame) -> DataFrame:
        """Predicts each image, lazily.

        Args:
            df: Columns ``image`` (height, width, channels, data) and, optionally, ``path``, ``label`` and ``error``.

        Returns:
            Columns ``path``, ``label``, ``prediction`` (a label), ``probability`` (by class) and ``error``, which has the
            reason where an image can't be predicted.
        """
        if "image" not in df.columns:
            raise DataError(f"the DataFrame has no column image (it has {', '.join(df.columns)})")
        return self._scored(df, predict_images, PREDICTION_COLUMNS)

    def _scored(self, df: DataFrame, function: Any, columns: str) -> DataFrame:
        task, blob = self._task
        weights = df.sparkSession.sparkContext.broadcast(blob)
        return map_batches(image_columns(df), bound(function, task=task, weights=weights), columns)

    @functools.cached_property
    def _task(self) -> tuple[PredictorTask, bytes]:
        return PredictorTask.of(self.artifact, allow_code=self._allow_code)

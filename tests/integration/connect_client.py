"""What a client of Spark Connect's sees of the estimators, in a process without a JVM: all checks against one server.

Writes a JSON object: by the name of each check, what it found, or the class and message of its error.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweave import TorchClassificationModel, TorchClassifier, TorchRegressor, TrainedModel, read_image_archives
from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.spark import connect
from sparkweave.spark.connect import ConnectRuntime

ROWS = 120
FAST: dict[str, Any] = {"epochs": 4, "batchSize": 8, "learningRate": 0.02, "numWorkers": 2}


def table(spark: SparkSession) -> DataFrame:
    """Two classes that a small network can tell apart."""
    points = np.random.default_rng(0).normal(size=(ROWS, 2)) * 2 + 5
    rows = [(Vectors.dense(point), *map(float, point), float(point[0] > 5)) for point in points]
    return spark.createDataFrame(rows, ["features", "x0", "x1", "label"])


def weights(model: TrainedModel) -> str:
    """A digest of their bits."""
    tensors = model.network().state_dict()
    return hashlib.sha256(b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))).hexdigest()


class Checks:
    """Runs against one session; the model of the first check is the others'."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.folder = folder
        self.df = table(spark)
        self.pipeline = Pipeline(
            stages=[
                VectorAssembler(inputCols=["x0", "x1"], outputCol="both"),
                TorchClassifier(featuresCol="both", **FAST),
            ]
        )
        self.model: Any = None

    @property
    def fitted(self) -> TorchClassificationModel:
        return self.model.stages[-1]

    def fit(self) -> Any:
        self.model = self.pipeline.fit(self.df)
        return {"weights": weights(self.fitted.trained), "losses": self.fitted.summary.objective_history}

    def transform(self) -> Any:
        scored = self.model.transform(self.df)
        rows = scored.select("prediction", "probability").collect()
        right = [int(np.argmax(row["probability"].toArray())) == row["prediction"] for row in rows]
        return {"columns": scored.columns, "rows": len(rows), "agree": sum(right)}

    def evaluate(self) -> Any:
        scored = self.model.transform(self.df)
        named = self.df.select(
            F.lit("a row").alias("path"), F.col("label").cast("int").cast("string").alias("label"), "x0", "x1"
        )
        arrays = named.withColumn("features", F.array("x0", "x1"))
        return {
            "accuracy": MulticlassClassificationEvaluator(metricName="accuracy").evaluate(scored),
            "log_loss": MulticlassClassificationEvaluator(metricName="logLoss").evaluate(scored),
            "own_accuracy": self.fitted.trained.evaluate(arrays).accuracy,
        }

    def save_and_load(self) -> Any:
        path = str(self.folder / "pipeline")
        for _ in range(2):
            self.model.write().overwrite().save(path)
        loaded = PipelineModel.load(path)
        expected, found = (each.transform(self.df).orderBy("x0").collect() for each in (self.model, loaded))
        alone = str(self.folder / "alone")
        self.fitted.save(alone)
        self.fitted.write().overwrite().save(alone)
        estimator = str(self.folder / "estimator")
        TorchClassifier(epochs=7).save(estimator)
        TorchClassifier(epochs=9).write().overwrite().save(estimator)
        return {
            "same": expected == found,
            "epochs": loaded.stages[-1].summary.total_epochs,
            "alone": weights(TorchClassificationModel.load(alone).trained) == weights(self.fitted.trained),
            "plain": weights(TrainedModel.load(f"{alone}/model")) == weights(self.fitted.trained),
            "estimator": TorchClassifier.load(estimator).getEpochs(),
        }

    def images(self) -> Any:
        shades = [np.full((6, 6), 8 * number, np.uint8) for number in range(24)]
        rows = [
            (bytes(cv2.imencode(".png", shade)[1]), float(shade[0, 0]), number % 4 == 0)
            for number, shade in enumerate(shades)
        ]
        df = self.spark.createDataFrame(rows, "png binary, label double, is_test boolean")
        options = {**FAST, "epochs": 2, "checkpointDir": str(self.folder / "run"), "validationIndicatorCol": "is_test"}
        regressor = TorchRegressor(featuresCol="png", network="mlp", **options)
        model = regressor.fit(df)
        return {
            "shape": model.trained.input_shape,
            "checkpoint": CheckpointStore(str(self.folder / "run"), fingerprint={}).epochs()[-1],
            "validated": len(model.summary.validation_history),
            "predicted": model.transform(df).where("prediction is not null").count(),
        }

    def no_jvm(self) -> Any:
        from pyspark import SparkContext

        return {"context": SparkContext._active_spark_context is None, "gateway": SparkContext._gateway is None}

    def a_loss_that_is_not_finite(self) -> Any:
        TorchClassifier(**{**FAST, "learningRate": 1e30, "optimizer": "SGD", "epochs": 2}).fit(self.df)

    def too_many_workers(self) -> Any:
        TorchClassifier(**{**FAST, "numWorkers": 3}).fit(self.df)

    def unknown_slots(self) -> Any:
        with mock.patch.object(ConnectRuntime, "slots", return_value=None):
            TorchClassifier(epochs=1).fit(self.df)

    def unknown_slots_too_few(self) -> Any:
        with mock.patch.object(ConnectRuntime, "slots", return_value=None):
            TorchClassifier(**{**FAST, "numWorkers": 3}).fit(self.df)

    def too_large(self) -> Any:
        with mock.patch.object(connect, "_MOST_BYTES", 100):
            # One whose weights have not been sent yet.
            self.fitted.copy().allowCode().transform(self.model.stages[0].transform(self.df))

    def save_to_hdfs(self) -> Any:
        self.fitted.save("hdfs://nowhere/model")

    def save_in_a_relative_folder(self) -> Any:
        self.fitted.save("model")

    def refused_overwrites(self) -> Any:
        refused = []
        with mock.patch("pyspark.ml.connect.readwrite.RemoteMLWriter.handleOverwrite") as deleted:
            for path in ("model", "hdfs://nowhere/model", "/dev/null/model"):
                try:
                    self.fitted.write().overwrite().save(path)
                except Exception as error:  # noqa: BLE001 - the test judges it
                    refused.append(type(error).__name__)
        return {"refused": refused, "deleted": deleted.called}

    def load_from_hdfs(self) -> Any:
        TorchClassificationModel.load("hdfs://nowhere/model")

    def checkpoints_on_hdfs(self) -> Any:
        TorchClassifier(checkpointDir="hdfs://nowhere/run", **FAST).fit(self.df)

    def archives(self) -> Any:
        read_image_archives(self.spark, "images.zip")


def outcome(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - the test judges it
        return {"error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}


def main(url: str, folder: str, output: str) -> None:
    spark = SparkSession.builder.remote(url).getOrCreate()
    try:
        checks = Checks(spark, Path(folder))
        names = [name for name, value in vars(Checks).items() if callable(value) and not name.startswith("_")]
        found = {}
        for name in names:
            found[name] = outcome(getattr(checks, name))
            Path(output).write_text(json.dumps(found))
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The estimators of `pyspark.ml` users: fit, transform, pipelines, validators, saving, streams of all inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkweave import (
    Callback,
    Network,
    TorchClassificationModel,
    TorchClassifier,
    TorchRegressionModel,
    TorchRegressor,
)
from sparkweave.errors import ArtifactError, ConfigError, DataError, LabelError, SparkweaveError
from sparkweave.events import EpochEnded

ROWS = 240
FAST: dict[str, Any] = {"epochs": 8, "batchSize": 16, "learningRate": 0.01, "numWorkers": 2}


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    """Three classes that a small network can tell apart, and a number that depends on the same columns."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 2)) * 2 + 5
    label = (x[:, 0] > 5).astype(int) + ((x[:, 0] > 5) & (x[:, 1] > 5)).astype(int)
    number = 100 * x[:, 0] - 40 * x[:, 1] + 1000
    rows = [
        (
            Vectors.dense(point),
            [float(v) for v in point],
            float(k),
            int(k),
            f"class {k}",
            float(y),
            float(n % 5 == 0),
            1.0 + n % 2,
            float(point[0]),
            float(point[1]),
        )
        for n, (point, k, y) in enumerate(zip(x, label, number, strict=True))
    ]
    columns = ["features", "array", "label", "whole", "text", "number", "validation", "weight", "x0", "x1"]
    kept = spark.createDataFrame(rows, columns).repartition(3).cache()
    yield kept
    kept.unpersist()


@pytest.fixture(scope="module")
def pictures(spark: SparkSession) -> Iterator[DataFrame]:
    """PNGs, dark and bright, with Spark's struct of the same pixels."""
    rows = []
    for number in range(80):
        pixels = np.random.default_rng(number).integers(0, 100, (8, 8, 3)).astype(np.uint8) + 140 * (number % 2)
        png = cv2.imencode(".png", pixels.astype(np.uint8))[1].tobytes()
        struct = ("", 8, 8, 3, 16, pixels.astype(np.uint8).tobytes())  # OpenCV's order is Spark's
        rows.append((png, struct, float(number % 2)))
    image = "struct<origin: string, height: int, width: int, nChannels: int, mode: int, data: binary>"
    kept = spark.createDataFrame(rows, f"png binary, image {image}, label double").repartition(2).cache()
    yield kept
    kept.unpersist()


@pytest.fixture(scope="module")
def fitted(table: DataFrame) -> TorchClassificationModel:
    return TorchClassifier(**FAST).fit(table)


def accuracy(df: DataFrame) -> float:
    return MulticlassClassificationEvaluator(metricName="accuracy").evaluate(df)


def test_a_classifier_learns_vectors_and_adds_its_columns_to_the_others(
    table: DataFrame, fitted: TorchClassificationModel
) -> None:
    scored = fitted.transform(table)
    assert scored.columns == [*table.columns, "prediction", "probability", "rawPrediction"]
    assert dict(scored.dtypes)["prediction"] == "double"
    assert accuracy(scored) > 0.9
    rows = scored.select("prediction", "probability", "whole").collect()
    assert len(rows) == ROWS
    assert all(int(np.argmax(row["probability"].toArray())) == int(row["prediction"]) for row in rows)
    assert all(abs(row["probability"].toArray().sum() - 1) < 1e-5 for row in rows)
    assert fitted.labels == ("0", "1", "2")
    renamed = fitted.transform(table, {fitted.predictionCol: "class"})
    assert "class" in renamed.columns
    with pytest.raises(DataError, match="the DataFrame has a column label already; drop it"):
        fitted.transform(table.withColumnRenamed("label", "Label"), {fitted.predictionCol: "label"})
    assert fitted.numClasses == 3
    log_loss = MulticlassClassificationEvaluator(metricName="logLoss").evaluate(scored)
    assert log_loss < 0.5


@pytest.mark.parametrize(("features", "label"), [("array", "whole"), ("features", "text")])
def test_arrays_whole_numbers_and_text_will_do_too(table: DataFrame, features: str, label: str) -> None:
    model = TorchClassifier(featuresCol=features, labelCol=label, probabilityCol="", **FAST).fit(table)
    scored = model.transform(table)
    assert "probability" not in scored.columns
    right = scored.where(F.col("prediction") == F.col(label)).count()
    assert right > 0.9 * ROWS


def test_the_same_rows_give_the_same_model_however_they_are_cut(
    table: DataFrame, fitted: TorchClassificationModel
) -> None:
    again = TorchClassifier(**FAST).fit(table.repartition(2))
    weights, others = fitted.trained.network().state_dict(), again.trained.network().state_dict()
    assert all(bool((weights[name] == others[name]).all()) for name in weights)


def test_binary_evaluators_take_the_raw_prediction_as_it_comes(table: DataFrame) -> None:
    two = table.where("label < 2")
    scored = TorchClassifier(**FAST).fit(two).transform(two)
    assert BinaryClassificationEvaluator().evaluate(scored) > 0.9
    row = scored.first()
    np.testing.assert_allclose(np.exp(row["rawPrediction"].toArray()), row["probability"].toArray())
    assert (
        "rawPrediction"
        not in TorchClassifier(rawPredictionCol="", **{**FAST, "epochs": 1}).fit(two).transform(two).columns
    )


def test_the_network_runs_once_whatever_is_asked_of_its_predictions(
    table: DataFrame, fitted: TorchClassificationModel, capsys: pytest.CaptureFixture[str]
) -> None:
    skipping = fitted.copy({fitted.handleInvalid: "skip"})
    for scored in (fitted.transform(table).where("prediction > 0"), skipping.transform(table)):
        scored.explain()
        assert capsys.readouterr().out.count("ArrowEvalPython") == 1


def test_options_of_the_trainer_and_of_the_network_are_passed_on(table: DataFrame) -> None:
    epochs: list[int] = []

    class Heard(Callback):
        def on_epoch_end(self, event: EpochEnded) -> None:
            epochs.append(event.epoch)

    estimator = TorchClassifier(
        trainingOptions={"collect_training_stats": True, "log_every": 1},
        networkOptions={"transport": "spark", "ports": [47000, 47100]},
        **{**FAST, "epochs": 1, "strategyOptions": {"averaging_frequency": 100}},
    ).setCallbacks(Heard())
    model = estimator.copy().fit(table)
    assert epochs == [1]
    assert any(record["event"] == "step" for record in model.summary.history)
    assert estimator.interconnect() == Network(transport="spark", ports=(47000, 47100))


def test_a_class_without_examples_keeps_its_place(table: DataFrame) -> None:
    model = TorchClassifier(**{**FAST, "epochs": 1}).fit(table.where("label != 1"))
    assert model.labels == ("0", "1", "2")
    assert model.transform(table).first()["probability"].size == 3


def test_a_regressor_predicts_in_the_labels_own_unit(table: DataFrame) -> None:
    model = TorchRegressor(labelCol="number", weightCol="weight", **{**FAST, "epochs": 20}).fit(table)
    assert isinstance(model, TorchRegressionModel)
    scored = model.transform(table)
    assert RegressionEvaluator(labelCol="number", metricName="r2").evaluate(scored) > 0.95
    assert model.summary.objective_history[-1] < model.summary.objective_history[0]
    assert model.summary.accuracy_history[-1] is None


def test_weights_decide_between_rows_that_contradict_each_other(spark: SparkSession) -> None:
    rows = [(Vectors.dense([float(n % 7), 1.0]), float(n % 2), 50.0 if n % 2 else 0.0) for n in range(56)]
    df = spark.createDataFrame(rows, ["features", "label", "weight"])
    model = TorchClassifier(weightCol="weight", **FAST).fit(df)
    assert model.transform(df).where("prediction != 1").count() == 0


def test_training_stops_early_and_takes_the_best_epoch(table: DataFrame) -> None:
    estimator = TorchClassifier(
        validationIndicatorCol="validation", patience=2, **{**FAST, "epochs": 40, "learningRate": 0.1}
    )
    summary = estimator.fit(table).summary
    losses = summary.validation_history
    assert summary.total_epochs == len(losses)
    assert len(losses) < 40
    assert summary.best_epoch == int(np.argmin(losses)) + 1
    assert summary.best_epoch == len(losses) - 2


def test_images_train_encoded_and_as_sparks_struct_alike(pictures: DataFrame) -> None:
    options = {**FAST, "epochs": 3, "network": "mlp"}
    encoded = TorchClassifier(featuresCol="png", **options).fit(pictures)
    structs = TorchClassifier(featuresCol="image", **options).fit(pictures)
    assert accuracy(encoded.transform(pictures)) == 1.0
    assert encoded.trained.input_shape == (3, 8, 8)
    probabilities = [
        [row["probability"].toArray() for row in model.transform(pictures).collect()]
        for model in (encoded, structs.copy({structs.featuresCol: "png"}))
    ]
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=0.05)
    gray = TorchClassifier(featuresCol="png", channels=1, imageSize=[4, 6], **options).fit(pictures)
    assert gray.trained.input_shape == (1, 4, 6)
    assert accuracy(gray.transform(pictures)) == 1.0


def test_rows_that_cannot_be_predicted_end_the_job_or_are_kept_or_skipped(
    spark: SparkSession, pictures: DataFrame
) -> None:
    model = TorchClassifier(featuresCol="png", network="mlp", **{**FAST, "epochs": 1}).fit(pictures)
    broken = pictures.limit(3).select("png").union(spark.createDataFrame([(b"broken",), (None,)], "png binary"))
    with pytest.raises(Exception, match="a row can't be predicted: it"):
        model.transform(broken).collect()
    kept = model.copy({model.handleInvalid: "keep"}).transform(broken).collect()
    assert [row["prediction"] is None for row in kept] == [False, False, False, True, True]
    assert [row["probability"] is None for row in kept] == [False, False, False, True, True]
    assert model.setHandleInvalid("skip").transform(broken).count() == 3
    with pytest.raises(ConfigError, match="handleInvalid is 'drop'"):
        model.setHandleInvalid("drop").transform(broken)


def test_pipelines_are_fitted_saved_and_loaded(table: DataFrame, tmp_path: Path) -> None:
    pipeline = Pipeline(
        stages=[VectorAssembler(inputCols=["x0", "x1"], outputCol="both"), TorchClassifier(featuresCol="both", **FAST)]
    )
    pipeline.write().overwrite().save(str(tmp_path / "pipeline"))
    pipeline = Pipeline.load(str(tmp_path / "pipeline"))
    model = pipeline.fit(table)
    model.write().overwrite().save(str(tmp_path / "model"))
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    expected, found = (each.transform(table).orderBy("x0").collect() for each in (model, loaded))
    assert expected == found
    assert loaded.stages[-1].summary.total_epochs == 8


def test_estimators_and_models_are_saved_and_loaded_alone(
    table: DataFrame, fitted: TorchClassificationModel, tmp_path: Path
) -> None:
    estimator = TorchClassifier(
        network={"name": "small", "layers": [{"Linear": {"out_features": "classes"}}]}, epochs=3
    )
    estimator.save(str(tmp_path / "estimator"))
    loaded = TorchClassifier.load(str(tmp_path / "estimator"))
    assert loaded.uid == estimator.uid
    assert loaded.extractParamMap() == estimator.extractParamMap()
    path = (tmp_path / "model").as_uri()
    fitted.save(path)
    model = TorchClassificationModel.load(path)
    assert model.uid == fitted.uid
    assert model.transform(table).collect() == fitted.transform(table).collect()
    with pytest.raises(Exception, match="already exists"):
        fitted.save(path)
    with pytest.raises(
        ArtifactError, match=r"holds a TorchClassificationModel; load it with TorchClassificationModel\.load"
    ):
        TorchRegressionModel.load(path)


@pytest.mark.timeout(600)
def test_validators_choose_params_also_side_by_side(table: DataFrame, tmp_path: Path) -> None:
    estimator = TorchClassifier(**FAST)
    grid = ParamGridBuilder().addGrid(estimator.epochs, [1, 6]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
    found = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, parallelism=2, seed=1
    ).fit(table)
    assert found.bestModel.getEpochs() == 6
    found.write().overwrite().save(str(tmp_path / "cv"))
    loaded = CrossValidatorModel.load(str(tmp_path / "cv"))
    assert loaded.avgMetrics == found.avgMetrics
    assert accuracy(loaded.transform(table)) == accuracy(found.transform(table))
    split = TrainValidationSplit(estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, seed=1).fit(table)
    assert split.bestModel.getEpochs() == 6


def test_params_have_setters_getters_copies_and_explanations() -> None:
    estimator = TorchClassifier(epochs=3).setBatchSize(7).setFeaturesCol("x").setOptimizerOptions({"weight_decay": 0.1})
    assert (estimator.getEpochs(), estimator.getBatchSize(), estimator.getFeaturesCol()) == (3, 7, "x")
    copied = estimator.copy({estimator.epochs: 9})
    assert (copied.getEpochs(), estimator.getEpochs()) == (9, 3)
    assert "passes over the training rows (default: 10, current: 3)" in estimator.explainParams()
    assert estimator.setParams(epochs=5).getEpochs() == 5
    with pytest.raises(TypeError, match="forces keyword arguments"):
        TorchClassifier("features")
    with pytest.raises(TypeError):
        TorchRegressor(epochs="many")
    for name in ("epoch", "fit", "uid"):
        with pytest.raises(TypeError, match=f"TorchRegressor has no Param {name}; it has .*epochs"):
            TorchRegressor(**{name: 1})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"featuresCol": "none"}, DataError, "the DataFrame has no column none"),
        ({"featuresCol": "text"}, DataError, "the column text is of type string; give encoded images"),
        ({"labelCol": "features"}, DataError, "the column features is of type vector; give labels"),
        ({"labelCol": "number"}, SparkweaveError, "can't be used"),
        ({"patience": 2}, ConfigError, "there are no validation rows; set validationIndicatorCol"),
        ({"strategy": "gossip"}, ConfigError, "strategy is 'gossip'; choose one of"),
        ({"strategyOptions": {"frequency": 2}}, ConfigError, "takes others"),
        (
            {"trainingOptions": {"epochs": 2}},
            ConfigError,
            "trainingOptions has 'epochs'; it takes collect_training_stats, ",
        ),
        ({"networkOptions": {"port": 1}}, ConfigError, "networkOptions are {'port': 1}; it takes ports, subnet, "),
        ({"networkOptions": {"transport": "mail"}}, ConfigError, "transport is 'mail'"),
        ({"network": "lenet"}, ConfigError, "can't take an input of shape"),
        ({"handleInvalid": "drop"}, ConfigError, "handleInvalid is 'drop'"),
        ({"featuresCol": "array", "imageSize": [8]}, ConfigError, r"imageSize is \[8\]; give \[height, width\]"),
    ],
)
def test_mistakes_are_told_before_any_training(
    table: DataFrame, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TorchClassifier(**{**FAST, **options}).fit(table)


def test_labels_must_be_indexes_or_text(spark: SparkSession) -> None:
    rows = [(Vectors.dense([1.0, 2.0]), float(label)) for label in (0, 1, 123456)]
    with pytest.raises(LabelError, match="'123456'; give whole numbers from 0 to 9,999, or text"):
        TorchClassifier(**{**FAST, "numWorkers": 1}).fit(spark.createDataFrame(rows, ["features", "label"]))


def test_rows_that_cannot_be_trained_on_are_named(spark: SparkSession) -> None:
    rows = [
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, float("nan")], 1.0, 1.0),
        ([1.0, 1.0], 1.5, 1.0),
        ([2.0, 1.0], 1.0, -1.0),
        (None, 1.0, 1.0),
    ]
    df = spark.createDataFrame(rows, "features array<double>, label double, weight double")
    with pytest.raises(DataError) as caught:
        TorchClassifier(weightCol="weight", **FAST).fit(df)
    message = str(caught.value)
    assert "4 of 5" in message
    for reason in (
        "its features are not all finite numbers",
        "its label is null",
        "its weight is -1.0",
        "its features is null",
    ):
        assert reason in message, message


def test_a_training_is_taken_up_again_with_its_best_epoch_and_its_evaluation(table: DataFrame, tmp_path: Path) -> None:
    options = {**FAST, "validationIndicatorCol": "validation", "patience": 3, "learningRate": 0.05}
    straight = TorchClassifier(**{**options, "epochs": 6}).fit(table)
    folder = str(tmp_path / "checkpoints")
    estimator = TorchClassifier(checkpointDir=folder, **{**options, "epochs": 3})
    estimator.fit(table)
    with pytest.raises(ArtifactError, match="has the checkpoint of a run"):
        estimator.fit(table)
    resumed = estimator.copy({estimator.epochs: 6, estimator.resume: True}).fit(table)
    weights, others = (model.trained.network().state_dict() for model in (straight, resumed))
    assert all(bool((weights[name] == others[name]).all()) for name in weights)
    assert resumed.summary.best_epoch == straight.summary.best_epoch
    assert resumed.trained.evaluation is not None
    assert resumed.trained.evaluation.to_dict() == straight.trained.evaluation.to_dict()
    assert estimator.setOverwrite(True).fit(table).summary.total_epochs == 3
    ended = straight.summary.history[-1]
    assert ended["examples"] == straight.summary.total_epochs * table.where("validation = 0").count()


def test_a_model_says_what_it_was_trained_on(pictures: DataFrame, fitted: TorchClassificationModel) -> None:
    with pytest.raises(DataError, match="holds encoded images, and the model was trained on vectors"):
        fitted.transform(pictures.withColumnRenamed("png", "features"))

"""The whole way on `local[2]`: archives, training, evaluation, prediction, saving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from pyspark.sql import functions as F

from sparkweave.config import TrainingConfig
from sparkweave.errors import ArtifactError, ConfigError, DataError, LabelError, ResourceError, WorkerError
from sparkweave.events import EpochEnded, IterationEnded, Restarted
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.testing.archives import encode_image, make_image, write_archive, write_image_archive
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NETWORK = {
    "layers": [
        {"Conv2d": {"out_channels": 8, "kernel_size": 3}},
        "BatchNorm2d",
        "ReLU",
        "Flatten",
        {"Linear": {"out_features": "classes"}},
    ]
}


class Events(Callback):
    """Remembers epochs and iterations."""

    def __init__(self) -> None:
        self.epochs: list[EpochEnded] = []
        self.iterations: list[IterationEnded] = []

    def on_epoch_end(self, event: EpochEnded) -> None:
        self.epochs.append(event)

    def on_iteration(self, event: IterationEnded) -> None:
        self.iterations.append(event)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_image_archive(folder / "train.zip", labels=("0", "1", "2"), images_per_label=50, size=(8, 8))
    write_image_archive(folder / "test.zip", labels=("0", "1", "2"), images_per_label=10, size=(8, 8))
    write_image_archive(folder / "wide.zip", labels=("0", "1", "2"), images_per_label=4, size=(8, 12))
    write_image_archive(folder / "more.zip", labels=("0", "1", "7"), images_per_label=4, size=(8, 8))
    write_image_archive(folder / "one.zip", labels=("5",), images_per_label=9, size=(8, 8))
    return folder


@pytest.fixture
def train(spark: SparkSession, archives: Path) -> DataFrame:
    return read_image_archives(spark, str(archives / "train.zip"))


@pytest.fixture
def test(spark: SparkSession, archives: Path) -> DataFrame:
    return read_image_archives(spark, str(archives / "test.zip"))


def options(**changes: Any) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 3, "batch_size": 10, "workers": 2, "learning_rate": 0.01, **changes})


def assert_same_weights(left: TrainedModel, right: TrainedModel) -> None:
    for name, tensor in left.artifact.weights.items():
        assert torch.equal(tensor, right.artifact.weights[name]), name


@pytest.mark.parametrize(
    "strategy",
    [
        AllReduce(),
        ParameterAveraging(averaging_frequency=3),
        GradientSharing(target_sparsity=0.1, exchange_frequency=2),
    ],
    ids=lambda s: s.name,
)
def test_a_model_learns_evaluates_saves_and_loads(
    strategy: Strategy, train: DataFrame, test: DataFrame, tmp_path: Path
) -> None:
    events = Events()
    config = options(epochs=4, evaluate_every=2, log_every=1)
    model = Trainer(NETWORK, strategy=strategy, config=config, callbacks=[events]).fit(train, test=test)
    assert model.evaluation is not None
    assert model.evaluation.examples == 30
    assert model.evaluation.accuracy > 0.8
    assert [epoch.epoch for epoch in events.epochs] == [1, 2, 3, 4]
    assert all(epoch.examples == 150 for epoch in events.epochs)
    assert events.epochs[-1].loss < events.epochs[0].loss
    evaluations = [record for record in model.history if record["event"] == "evaluation"]
    assert [record["epoch"] for record in evaluations] == [2, 4]
    assert {event.rank for event in events.iterations} == {0, 1}

    url = str(tmp_path / "model.zip")
    model.save(url)
    loaded = TrainedModel.load(url)
    assert_same_weights(model, loaded)
    assert loaded.evaluate(test).to_dict() == model.evaluation.to_dict()
    assert loaded.evaluation is not None
    assert loaded.evaluation.to_dict() == model.evaluation.to_dict()
    rows = loaded.transform(test).collect()
    assert len(rows) == 30
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / 30 == pytest.approx(model.evaluation.accuracy)
    assert all(sum(row["probability"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert loaded.network()(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


def test_the_same_seed_gives_the_same_model_however_the_input_is_cut_and_the_epochs_are_grouped(
    train: DataFrame,
) -> None:
    config = options(schedule="cosine", augment=("flip",))
    one = Trainer(NETWORK, config=config).fit(train)
    single_epochs = options(schedule="cosine", augment=("flip",), segment_seconds=1e-6, prefetch=0)
    other = Trainer(NETWORK, config=single_epochs).fit(train.repartition(7))
    assert_same_weights(one, other)
    third = Trainer(NETWORK, config=options(schedule="cosine", augment=("flip",), seed=1)).fit(train)
    assert not torch.equal(one.artifact.weights["0.weight"], third.artifact.weights["0.weight"])


def test_a_run_is_taken_up_from_its_checkpoint_and_ends_in_the_same_model(train: DataFrame, tmp_path: Path) -> None:
    whole = Trainer(NETWORK, config=options(epochs=4)).fit(train)
    folder = str(tmp_path / "checkpoints")
    Trainer(NETWORK, config=options(epochs=2), checkpoint_dir=folder).fit(train)
    resumed = Trainer(NETWORK, config=options(epochs=4), checkpoint_dir=folder, resume=True).fit(train)
    assert_same_weights(whole, resumed)
    assert [record["epoch"] for record in resumed.history if record["event"] == "epoch"] == [1, 2, 3, 4]
    with pytest.raises(
        ArtifactError, match=r"checkpoint of a run that ended after epoch 4; go on from it \(--resume\)"
    ):
        Trainer(NETWORK, config=options(epochs=4), checkpoint_dir=folder)
    with pytest.raises(ConfigError, match="epochs is 3, and the checkpoint to go on from is of epoch 4"):
        Trainer(NETWORK, config=options(epochs=3), checkpoint_dir=folder, resume=True).fit(train)
    with pytest.raises(ArtifactError, match="another run: batch_size is 10 there and 20 here"):
        Trainer(NETWORK, config=options(batch_size=20), checkpoint_dir=folder, resume=True).fit(train)
    others = train.withColumn("label", ((F.col("label").cast("int") + 1) % 3).cast("string"))  # as many of each
    with pytest.raises(ArtifactError, match=r"another run: examples is '[0-9a-f]{16}' there and '[0-9a-f]{16}' here"):
        Trainer(NETWORK, config=options(epochs=4), checkpoint_dir=folder, resume=True).fit(others)


@pytest.mark.parametrize(
    "strategy",
    [
        GradientSharing(target_sparsity=0.1, exchange_frequency=2, staleness=1),
        ParameterAveraging(averaging_frequency=4, outer_optimizer="nesterov", averaging_precision="bfloat16"),
        AllReduce(compression="powersgd", powersgd_rank=1),
    ],
    ids=lambda s: s.name,
)
def test_what_workers_keep_beside_the_network_is_taken_up_too(
    strategy: Strategy, train: DataFrame, tmp_path: Path
) -> None:
    def fit(**changes: Any) -> TrainedModel:
        folder = changes.pop("checkpoint_dir", None)
        resume = changes.pop("resume", False)
        config = options(collect_training_stats=True, log_every=2, **changes)
        return Trainer(NETWORK, strategy=strategy, config=config, checkpoint_dir=folder, resume=resume).fit(train)

    whole = fit(epochs=3)
    folder = str(tmp_path / "checkpoints")
    fit(epochs=2, checkpoint_dir=folder)
    resumed = fit(epochs=3, checkpoint_dir=folder, resume=True)
    assert_same_weights(whole, resumed)
    steps = [record for record in resumed.history if record["event"] == "step"]
    assert {(record["epoch"], record["rank"]) for record in steps} == {(e, r) for e in (1, 2, 3) for r in (0, 1)}
    assert all(record["host"] and record["bytes_sent"] >= 0 for record in steps)
    assert all((record["threshold"] is None) is (strategy.name != "gradient-sharing") for record in steps)


def test_one_worker_and_more_workers_than_batches_train_too(spark: SparkSession, archives: Path) -> None:
    few = read_image_archives(spark, str(archives / "wide.zip"))
    model = Trainer(NETWORK, config=options(epochs=1, batch_size=100)).fit(few)
    assert model.input_shape == (1, 8, 12)
    assert Trainer(NETWORK, config=options(epochs=1, workers=1)).fit(few).labels == ("0", "1", "2")


def test_jobs_are_named_in_the_web_ui(spark: SparkSession, train: DataFrame) -> None:
    Trainer(NETWORK, config=options(epochs=1)).fit(train)
    store = spark.sparkContext._jsc.sc().statusStore()
    jobs = store.jobsList(None)
    descriptions = [jobs.apply(index).description() for index in range(jobs.size())]
    names = {description.get() for description in descriptions if description.isDefined()}
    assert "sparkweave: epoch 1 of 1" in names
    assert "sparkweave: reading, decoding and dealing out the images" in names


def test_a_cancelled_run_is_not_run_again(spark: SparkSession, train: DataFrame) -> None:
    class Cancel(Callback):
        restarted = False

        def on_iteration(self, event: IterationEnded) -> None:
            if event.epoch == 2:
                spark.sparkContext.cancelAllJobs()

        def on_restart(self, event: Restarted) -> None:
            self.restarted = True

    cancel = Cancel()
    with pytest.raises(WorkerError, match="training was cancelled"):
        Trainer(NETWORK, config=options(epochs=2000, segment_seconds=600, log_every=1), callbacks=[cancel]).fit(train)
    assert not cancel.restarted
    assert Trainer(NETWORK, config=options(epochs=1)).fit(train).labels == ("0", "1", "2")


def test_images_without_labels_are_predicted(spark: SparkSession, train: DataFrame, tmp_path: Path) -> None:
    write_archive(str(tmp_path / "new.zip"), {"photo.png": encode_image(make_image(0, size=(8, 8)))})
    model = Trainer(NETWORK, config=options(epochs=1)).fit(train)
    (row,) = model.transform(read_image_archives(spark, str(tmp_path / "new.zip"), labelled=False)).collect()
    assert row["label"] is None
    assert row["error"] is None
    assert row["prediction"] in model.labels


def test_nothing_stays_cached(spark: SparkSession, train: DataFrame, test: DataFrame) -> None:
    Trainer(NETWORK, config=options(epochs=1)).fit(train, test=test)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == 0


def test_too_few_slots_are_said_at_once(train: DataFrame) -> None:
    with pytest.raises(ResourceError, match=r"needs 4 workers, this session has 2 slots: use --master 'local\[4\]'"):
        Trainer(NETWORK, config=options(workers=4)).fit(train)


def test_images_that_do_not_fit_are_refused_before_training(spark: SparkSession, archives: Path) -> None:
    def read(*names: str) -> DataFrame:
        return read_image_archives(spark, [str(archives / name) for name in names])

    trainer = Trainer(NETWORK, config=options())
    with pytest.raises(DataError, match=r"differ in size: 150 of 8x8 with 1 channel, 12 of 8x12 .* --image-size"):
        trainer.fit(read("train.zip", "wide.zip"))
    with pytest.raises(LabelError, match="all 9 images have the label '5'; at least two classes"):
        trainer.fit(read("one.zip"))
    with pytest.raises(DataError, match=r"the test images are .* \(1, 8, 12\), the training images \(1, 8, 8\)"):
        trainer.fit(read("train.zip"), test=read("wide.zip"))
    with pytest.raises(LabelError, match="1 labels of the test images are not among the training images: '7'"):
        trainer.fit(read("train.zip"), test=read("more.zip"))
    with pytest.raises(DataError, match="no column label, image"):
        trainer.fit(read("train.zip").select("path"))
    with pytest.raises(LabelError, match="1 labels have no class name: '2'"):
        Trainer(NETWORK, config=options(), class_names={"0": "zero", "1": "one"}).fit(read("train.zip"))


def test_options_are_checked_when_they_are_given() -> None:
    with pytest.raises(ConfigError, match="optimizer is 'adamm'"):
        Trainer(NETWORK, config=options(optimizer="adamm"))
    with pytest.raises(ConfigError, match="storage level is 'MEMORY'"):
        Trainer(NETWORK, config=options(storage_level="MEMORY"))
    with pytest.raises(ConfigError, match="resume needs a checkpoint_dir"):
        Trainer(NETWORK, resume=True)


def test_unlike_images_get_an_error_in_their_row(spark: SparkSession, archives: Path, train: DataFrame) -> None:
    model = Trainer(NETWORK, config=options(epochs=1)).fit(train)
    wide = read_image_archives(spark, str(archives / "wide.zip"))
    rows = model.transform(wide).collect()
    assert all(row["prediction"] is None and "it is 8x12" in row["error"] for row in rows)
    with pytest.raises(DataError, match="12 of 12 images can't be used"):
        model.evaluate(wide)

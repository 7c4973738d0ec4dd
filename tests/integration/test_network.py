"""Ways for workers to reach each other, on `local-cluster`: whichever is taken, the model is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.training_faults import Watcher, assert_same

from sparkweave.config import TrainingConfig
from sparkweave.distributed.network import Network
from sparkweave.errors import ResourceError, WorkerError
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.doctor import examine_cluster
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import ParameterAveraging
from sparkweave.testing.archives import write_image_archive
from sparkweave.testing.ports import free_ports

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.spark.model import TrainedModel
    from sparkweave.training.callbacks import Callback

pytestmark = pytest.mark.timeout(600)
NOWHERE = "192.0.2.240/30"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("network") / "train.zip"
    write_image_archive(path, labels=("0", "1", "2"), images_per_label=20, size=(28, 28))
    return str(path)


def fit(
    spark: SparkSession, archive: str, network: Network | None, callback: Callback | None = None, **options: Any
) -> TrainedModel:
    trainer = Trainer(
        "lenet",
        strategy=ParameterAveraging(averaging_frequency=3),
        config=TrainingConfig(epochs=1, batch_size=10, workers=2, **options),
        callbacks=[callback] if callback else [],
        interconnect=network,
    )
    return trainer.fit(read_image_archives(spark, archive))


@pytest.fixture(scope="module")
def expected(cluster_spark: SparkSession, archive: str) -> TrainedModel:
    return fit(cluster_spark, archive, None)


def test_through_spark_the_model_is_the_same_to_the_bit(
    cluster_spark: SparkSession, archive: str, expected: TrainedModel
) -> None:
    model = fit(cluster_spark, archive, Network(transport="spark"))
    assert_same(model, expected)
    assert model.history[1]["communication_seconds"] > 0


def test_a_subnet_a_range_of_ports_and_a_controller_change_nothing(
    cluster_spark: SparkSession, archive: str, expected: TrainedModel
) -> None:
    network = Network(ports=(20_000, 31_999), subnet="127.0.0.0/8", controller=f"127.0.0.1:{free_ports(1)[0]}")
    model = fit(cluster_spark, archive, network, log_every=1)
    assert_same(model, expected)


def test_a_subnet_without_any_host_in_it_is_told_at_once_and_not_tried_again(
    cluster_spark: SparkSession, archive: str
) -> None:
    watcher = Watcher()
    with pytest.raises(WorkerError) as caught:
        fit(cluster_spark, archive, Network(subnet=NOWHERE), watcher)
    assert "failed before its first step: ResourceError: host " in str(caught.value)
    assert f" has no interface in the subnet {NOWHERE}; its interfaces are " in str(caught.value)
    assert not watcher.events


def test_the_doctor_finds_it_too(cluster_spark: SparkSession) -> None:
    found = examine_cluster(cluster_spark, network=Network(subnet=NOWHERE))
    (finding,) = [finding for finding in found.findings if finding.severity == "error"]
    assert f"has no interface in the subnet {NOWHERE}" in finding.what
    found = examine_cluster(cluster_spark, network=Network(ports=(20_000, 31_999), subnet="127.0.0.0/8"))
    assert not [finding for finding in found.findings if finding.severity == "error"]
    for worker in found.cluster.workers:
        assert worker.port in range(20_000, 32_000)
        assert [contact.error for contact in (worker.driver, *worker.peers)] == [None, None]


def test_where_spark_protects_its_connections_plaintext_has_to_be_allowed(
    cluster_spark: SparkSession, archive: str, expected: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkweave.spark import slots

    there = slots.session_settings(cluster_spark)
    monkeypatch.setattr(slots, "session_settings", lambda _: {**there, "spark.authenticate": "true"})
    monkeypatch.setattr(slots, "_master", lambda _: "spark://not-on-this-machine:7077")
    with pytest.raises(ResourceError, match=r"spark\.authenticate is true: .* --transport spark.* --allow-plaintext"):
        fit(cluster_spark, archive, None)
    assert_same(fit(cluster_spark, archive, Network(allow_plaintext=True)), expected)

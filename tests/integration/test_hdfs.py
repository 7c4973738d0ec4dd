"""A run whose every path is on HDFS: archives, models, checkpoints, exported images, predictions. Same bits as from the local disk."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.integration.streaming_place import make_model

from sparkweave.artifacts.lease import held
from sparkweave.cli import main
from sparkweave.config import TrainingConfig
from sparkweave.errors import ArtifactError, ConfigError, DataError
from sparkweave.filesystem import HdfsFileSystem
from sparkweave.spark import archive_paths
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.storage import storage_for
from sparkweave.spark.streaming.assembly import StreamOrder, open_stream
from sparkweave.spark.trainer import Trainer
from sparkweave.testing.archives import write_image_archive

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from sparkweave.testing.hadoop import HadoopCluster

pytestmark = pytest.mark.timeout(600)

OPTIONS = ("--master", "local[2]", "--batch-size", "10", "--image-size", "8x8", "--network", "NETWORK")
NETWORK = """
layers:
  - Conv2d: {out_channels: 4, kernel_size: 3}
  - BatchNorm2d
  - ReLU
  - Flatten
  - Linear: {out_features: classes}
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hdfs")
    (folder / "network.yaml").write_text(NETWORK)
    (folder / "many").mkdir()
    write_image_archive(folder / "many" / "a.zip", labels=("0", "1", "2"), images_per_label=30, size=(8, 8))
    write_image_archive(folder / "many" / "b.zip", labels=("0", "1", "2"), images_per_label=7, size=(8, 8))
    return folder


@pytest.fixture(scope="module")
def data(hadoop: HadoopCluster, local: Path) -> str:
    """The same archives on HDFS."""
    hadoop.file_system.mkdirs(hadoop.path("/data/empty"))
    hadoop.put(local / "many", "/data/many")
    hadoop.put(local / "network.yaml", "/data/network.yaml")
    return hadoop.uri("/data")


@pytest.fixture
def out(hadoop: HadoopCluster) -> Iterator[str]:
    yield hadoop.uri("/out")
    hadoop.file_system.delete(hadoop.path("/out"), True)  # noqa: FBT003 - Java's


@pytest.fixture
def hadoop_conf(spark: SparkSession) -> Iterator[Any]:
    """The session's Hadoop configuration, put back afterwards."""
    conf: Any = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[union-attr]
    before: dict[str, str | None] = {}

    class Settings:
        def set(self, name: str, value: str) -> None:
            before[name] = conf.get(name)
            conf.set(name, value)

    yield Settings()
    for name, value in before.items():
        conf.unset(name) if value is None else conf.set(name, value)


def images(frame: DataFrame) -> list[tuple[str, str, bytes]]:
    rows = frame.select("path", "label", "image.data").collect()
    return sorted((row.path.rpartition("/")[2], row.label, bytes(row.data)) for row in rows)


def command(local: Path, *arguments: str) -> int:
    return main.run([argument.replace("NETWORK", f"{local}/network.yaml") for argument in arguments])


def assert_same_model(left: str, right: str) -> None:
    first, second = TrainedModel.load(left).artifact, TrainedModel.load(right).artifact
    assert first.weights.keys() == second.weights.keys()
    for name, tensor in first.weights.items():
        assert torch.equal(tensor, second.weights[name]), name


@pytest.mark.parametrize("pattern", ["many/a.zip", "many", "many/*.zip", "many/{a,b}.zip"])
def test_archives_folders_and_globs_are_read_by_many_tasks(
    spark: SparkSession, data: str, local: Path, pattern: str
) -> None:
    frame = read_image_archives(spark, f"{data}/{pattern}", splits=6, reader="ranges")
    assert frame.rdd.getNumPartitions() >= 4
    here = "many/a.zip" if pattern == "many/a.zip" else "many"
    assert images(frame) == images(read_image_archives(spark, f"{local}/{here}"))
    assert {row.path.rpartition("!/")[0].rpartition("/")[0] for row in frame.collect()} == {f"{data}/many"}


def test_archives_of_several_file_systems_are_read_together(spark: SparkSession, data: str, local: Path) -> None:
    frame = read_image_archives(spark, [f"{data}/many/a.zip", f"{local}/many/b.zip"])
    assert images(frame) == images(read_image_archives(spark, f"{local}/many"))


def test_sparks_own_reader_gives_the_same_images(spark: SparkSession, data: str, local: Path) -> None:
    frame = read_image_archives(spark, f"{data}/many", reader="spark")
    assert images(frame) == images(read_image_archives(spark, f"{local}/many"))


@pytest.mark.parametrize("hindrance", ["client", "encryption", "login"])
def test_what_tasks_can_t_read_in_ranges_is_left_to_spark(
    spark: SparkSession, data: str, local: Path, hindrance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: HdfsFileSystem, path: str, offset: int, length: int) -> bytes:
        raise OSError(5, "GSSAPI is missing", path)

    def encrypted(hadoop: Hadoop, path: str) -> list[Any]:
        entry = Hadoop.archives(hadoop, path)[0]
        return [archive_paths.FileEntry(url=entry.url, length=entry.length, modified=entry.modified, encrypted=True)]

    match hindrance:
        case "client":
            monkeypatch.setattr(HdfsFileSystem, "read", refuse)
        case "encryption":
            monkeypatch.setattr(archive_paths, "list_archives", encrypted)
        case "login":
            monkeypatch.setattr(Hadoop, "tasks_can_log_in", lambda _: False)
    found = archive_paths.find_archives(spark, [f"{data}/many", f"{local}/many"])
    assert found.by_spark == [f"{data}/many"]
    assert len(found.in_ranges) == 1
    frame = read_image_archives(spark, f"{data}/many")
    monkeypatch.undo()
    assert images(frame) == images(read_image_archives(spark, f"{local}/many"))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none.zip", "nothing is found here"),
        ("none*.zip", "nothing is found here"),
        ("empty", "no file here ends in .zip"),
    ],
)
def test_a_path_without_archives_is_an_error_that_names_it(
    spark: SparkSession, data: str, path: str, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_image_archives(spark, f"{data}/{path}")
    assert f"{data}/{path}" in str(caught.value)


def test_a_name_node_that_is_not_there_is_a_clear_error(spark: SparkSession, hadoop: HadoopCluster) -> None:
    with pytest.raises(DataError, match=r"hdfs://127.0.0.1:1/a.zip: can't be looked for .*refused"):
        read_image_archives(spark, "hdfs://127.0.0.1:1/a.zip")


def test_without_a_host_the_url_means_the_default_file_system(
    spark: SparkSession, hadoop: HadoopCluster, data: str, local: Path, hadoop_conf: Any
) -> None:
    hadoop_conf.set("fs.defaultFS", hadoop.fs_uri)
    frame = read_image_archives(spark, "hdfs:///data/many", reader="ranges")
    assert images(frame) == images(read_image_archives(spark, f"{local}/many"))
    assert storage_for("hdfs:///x").resolve("hdfs:///x") == hadoop.uri("/x")


def test_a_nameservice_is_read_through_the_name_node_that_answers(
    spark: SparkSession, hadoop: HadoopCluster, data: str, local: Path, hadoop_conf: Any
) -> None:
    provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
    hadoop_conf.set("dfs.nameservices", "weave")
    hadoop_conf.set("dfs.ha.namenodes.weave", "gone,here")
    hadoop_conf.set("dfs.namenode.rpc-address.weave.gone", "127.0.0.1:1")
    hadoop_conf.set("dfs.namenode.rpc-address.weave.here", hadoop.fs_uri.removeprefix("hdfs://"))
    hadoop_conf.set("dfs.client.failover.proxy.provider.weave", provider)
    frame = read_image_archives(spark, "hdfs://weave/data/many", reader="ranges")
    assert images(frame) == images(read_image_archives(spark, f"{local}/many"))


def test_containers_read_ranges_with_what_the_driver_told_them(
    yarn_spark: SparkSession, data: str, local: Path
) -> None:
    frame = read_image_archives(yarn_spark, f"{data}/many", splits=4, reader="ranges")
    assert images(frame) == images(read_image_archives(yarn_spark, f"{local}/many"))


@pytest.mark.parametrize("form", ["model.zip", "model"])
def test_the_whole_way_gives_the_model_that_the_local_disk_gives(
    spark: SparkSession,
    hadoop: HadoopCluster,
    data: str,
    out: str,
    local: Path,
    tmp_path: Path,
    form: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for train, test, output in (
        (f"{data}/many", f"{data}/many/b.zip", f"{out}/{form}"),
        (f"{local}/many", f"{local}/many/b.zip", f"{tmp_path}/{form}"),
    ):
        assert command(local, "train", train, "--test", test, "--output", output, "--epochs", "2", *OPTIONS) == 0
    assert hadoop.names("/out") == [form]
    assert_same_model(f"{out}/{form}", f"{tmp_path}/{form}")

    assert command(local, "train", f"{data}/many", "--output", f"{out}/{form}", *OPTIONS) == 6
    assert "already exists" in capsys.readouterr().err
    assert command(local, "evaluate", f"{out}/{form}", f"{data}/many/*.zip") == 0
    assert "Accuracy" in capsys.readouterr().out
    assert command(local, "report", f"{out}/{form}", "--output", f"{tmp_path}/report.html") == 0
    assert f"{out}/{form}" in (tmp_path / "report.html").read_text()

    predict = ("predict", f"{out}/{form}", f"{data}/many", "--output", f"{out}/predictions")
    assert command(local, *predict) == 0
    assert spark.read.parquet(f"{out}/predictions").count() == 111
    assert command(local, *predict) == 6
    assert "already exists" in capsys.readouterr().err
    assert command(local, *predict, "--overwrite") == 0
    assert hadoop.names("/out") == [form, "predictions"]


def test_predictions_of_files_on_hdfs_are_the_same_in_a_stream(
    spark: SparkSession, hadoop: HadoopCluster, data: str, out: str, local: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("train", f"{data}/many", "--epochs", "1", *OPTIONS)
    assert command(local, *run, "--output", f"{out}/model.zip") == 0
    verify = ("verify-predictions", f"{out}/model.zip", f"{data}/many", "--images", "20", "--scratch", f"{out}/scratch")
    assert command(local, *verify) == 0
    assert "stream: identical; 20 of 20 images" in capsys.readouterr().out
    assert hadoop.names("/out/scratch") == []


def test_a_stream_knows_its_input_by_another_url(
    spark: SparkSession, hadoop: HadoopCluster, data: str, out: str, tmp_path: Path, hadoop_conf: Any
) -> None:
    hadoop_conf.set("fs.defaultFS", hadoop.fs_uri)
    make_model().save(str(tmp_path / "model.zip"))
    order = StreamOrder(
        model=str(tmp_path / "model.zip"), input="hdfs:///data", output=f"{data}/below", checkpoint=f"{out}/checkpoint"
    )
    with pytest.raises(ConfigError, match=r"output is hdfs://127.0.0.1:\d+/data/below, and the input .*/data holds it"):
        open_stream(spark, order)
    assert hadoop.names("/data") == ["empty", "many", "network.yaml"]


def test_exported_images_are_written_once_and_give_the_same_model(
    spark: SparkSession, hadoop: HadoopCluster, data: str, out: str, local: Path
) -> None:
    run = ("train", f"{data}/many", "--epochs", "1", *OPTIONS)
    assert command(local, *run, "--output", f"{out}/plain.zip") == 0
    staging = ("--staging", "export", "--staging-dir", f"{out}/staged")
    assert command(local, *run, *staging, "--output", f"{out}/first.zip") == 0
    written = hadoop.names("/out/staged")
    before = hadoop.names(f"/out/staged/{written[0]}")
    assert command(local, *run, *staging, "--output", f"{out}/second.zip") == 0
    assert hadoop.names("/out/staged") == written
    assert hadoop.names(f"/out/staged/{written[0]}") == before
    assert_same_model(f"{out}/plain.zip", f"{out}/first.zip")
    assert_same_model(f"{out}/plain.zip", f"{out}/second.zip")


@contextlib.contextmanager
def driver(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process of its own; whatever happens, it is dead in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "sparkweave", *arguments], stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_a_second_driver_is_refused_and_one_after_a_killed_one_goes_on_to_the_same_model(
    spark: SparkSession,
    hadoop: HadoopCluster,
    data: str,
    out: str,
    local: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ["train", f"{data}/many", "--output", f"{out}/model.zip", "--checkpoint-dir", f"{out}/run", *OPTIONS]
    run = [argument.replace("NETWORK", f"{local}/network.yaml") for argument in run]
    with driver(tmp_path / "log", *run, "--epochs", "100000") as first:
        while "\nepoch 2/" not in (tmp_path / "log").read_text():
            assert first.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        for way in ("--resume", "--overwrite"):
            assert main.run([*run, way, "--epochs", "100000"]) == 6
            assert f"the driver with process id {first.pid} on " in capsys.readouterr().err
    done = max(int(name[6:12]) for name in hadoop.names("/out/run") if name.startswith("epoch-"))
    epochs = ("--epochs", str(done + 2))
    assert main.run([*run, *epochs]) == 6
    assert "has the checkpoint of a run that ended" in capsys.readouterr().err
    assert main.run([*run, "--resume", *epochs]) == 0
    assert [name for name in hadoop.names("/out/run") if not name.startswith("epoch-")] == []
    straight = ("train", f"{local}/many", "--output", f"{out}/straight.zip", *epochs, *OPTIONS)
    assert command(local, *straight) == 0
    assert_same_model(f"{out}/model.zip", f"{out}/straight.zip")


def test_checkpoints_elsewhere_are_not_lost_and_a_run_in_progress_is_left_alone(
    spark: SparkSession, data: str, out: str, local: Path
) -> None:
    def trainer(**options: Any) -> Trainer:
        config = TrainingConfig(epochs=1, batch_size=10)
        return Trainer(str(local / "network.yaml"), config=config, checkpoint_dir=f"{out}/run", **options)

    frame = read_image_archives(spark, f"{data}/many")
    trainer().fit(frame)
    with pytest.raises(ArtifactError, match="has the checkpoint of a run that ended after epoch 1; go on from it"):
        trainer().fit(frame)
    trainer(overwrite=True).fit(frame)
    storage = storage_for(out)
    with (
        held(storage.resolve(f"{out}/run"), storage),
        pytest.raises(ArtifactError, match="is at work on this run; wait for it"),
    ):
        trainer(resume=True).fit(frame)

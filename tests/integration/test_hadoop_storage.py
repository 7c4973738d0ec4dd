"""Models, checkpoints and leases through Hadoop's file systems: on the local disk, and on a real HDFS with its quotas."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.contracts.filesystem import CONTENT, FileSystemContract
from tests.contracts.sealed import NEW, OLD, SealedContract, names, read, write
from tests.contracts.storage import StorageContract

from sparkweave.artifacts.checkpoint import Checkpoint, CheckpointStore
from sparkweave.artifacts.lease import held
from sparkweave.artifacts.native_storage import NativeStorage
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.errors import ArtifactError
from sparkweave.filesystem import FileSystem
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.storage import HadoopStorage, storage_for
from sparkweave.testing.storage import Crash, CrashingStorage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.testing.hadoop import HadoopCluster

MIB = 1 << 20


@pytest.fixture
def storage(spark: SparkSession) -> Storage:
    return HadoopStorage(Hadoop.of(spark.sparkContext))


@pytest.fixture
def hdfs_folder(hadoop: HadoopCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    path = f"/storage/{abs(hash(request.node.nodeid)):x}"
    hadoop.file_system.mkdirs(hadoop.path(path))
    yield path
    hadoop.file_system.delete(hadoop.path(path), True)  # noqa: FBT003 - Java's


class TestStorageOnTheLocalDisk(StorageContract):
    # Hadoop's own local file system looks first and creates then; what has to be exclusive goes through `LocalStorage`.
    test_of_many_that_create_a_file_one_succeeds = None  # type: ignore[assignment]

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path)


class OnHdfs:
    @pytest.fixture
    def root(self, hadoop: HadoopCluster, hdfs_folder: str) -> str:
        return hadoop.uri(hdfs_folder)


class TestStorageOnHdfs(OnHdfs, StorageContract):
    pass


class TestStorageWithoutJava(OnHdfs, StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return NativeStorage()


class TestSealedWithoutJava(OnHdfs, SealedContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return NativeStorage()


class TestSealedOnHdfs(OnHdfs, SealedContract):
    pass


class TestRangesOfHdfs(FileSystemContract):
    @pytest.fixture
    def files(self, spark: SparkSession) -> FileSystem:
        return Hadoop.of(spark.sparkContext).range_reader()

    @pytest.fixture
    def url(self, hadoop: HadoopCluster, hdfs_folder: str, tmp_path: Path) -> str:
        (tmp_path / "file").write_bytes(CONTENT)
        hadoop.put(tmp_path / "file", f"{hdfs_folder}/a b%20c")
        return hadoop.uri(f"{hdfs_folder}/a b%20c")


class TestFaultsOnHdfs(OnHdfs):
    @pytest.mark.parametrize("form", ["model", "model.zip"])
    @pytest.mark.parametrize("quota", ["NameSpace quota", "DiskSpace quota"])
    def test_a_quota_keeps_the_last_good_model_and_is_named(
        self, hadoop: HadoopCluster, storage: Storage, root: str, form: str, quota: str
    ) -> None:
        write(f"{root}/{form}", OLD, storage)
        folder = hadoop.path(root.removeprefix(hadoop.fs_uri))
        used = hadoop.file_system.getContentSummary(folder)
        names_used, bytes_used = used.getFileCount() + used.getDirectoryCount(), used.getSpaceConsumed()
        # HDFS asks for room for a whole block (128 MiB) before it writes one.
        hadoop.file_system.setQuota(folder, *((names_used, -1) if quota.startswith("Name") else (-1, bytes_used + 1)))
        with pytest.raises(
            ArtifactError, match=rf"was not saved: The {quota}.* is exceeded.*what was there before is as"
        ):
            write(f"{root}/{form}", NEW, storage, overwrite=True)
        assert read(f"{root}/{form}", storage) == OLD
        assert names(root, storage) == [form]
        hadoop.file_system.setQuota(folder, -1, -1)
        write(f"{root}/{form}", NEW, storage, overwrite=True)
        assert read(f"{root}/{form}", storage) == NEW

    def test_a_quota_ends_a_run_with_its_last_checkpoint_intact(
        self, hadoop: HadoopCluster, storage: Storage, root: str
    ) -> None:
        store = CheckpointStore(f"{root}/run", fingerprint={}, storage=storage)
        store.save(1, OLD)
        folder = hadoop.path(root.removeprefix(hadoop.fs_uri))
        hadoop.file_system.setQuota(folder, -1, hadoop.file_system.getContentSummary(folder).getSpaceConsumed() + 1)
        with pytest.raises(ArtifactError, match="DiskSpace quota"):
            store.save(2, NEW)
        assert store.latest() == Checkpoint(epoch=1, blobs=OLD)
        assert names(f"{root}/run", storage) == ["epoch-000001.zip"]

    @pytest.mark.parametrize("damage", ["flip", "cut"])
    def test_a_damaged_checkpoint_falls_back_to_the_one_before(
        self, storage: Storage, root: str, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = CheckpointStore(f"{root}/run", fingerprint={}, storage=storage)
        for epoch, blobs in ((1, OLD), (2, NEW)):
            store.save(epoch, blobs)
        path = storage.resolve(f"{root}/run/epoch-000002.zip")
        content = bytearray(storage.read(path, limit=MIB))
        content[200] ^= 1
        storage.remove(path)
        storage.write(path, bytes(content) if damage == "flip" else bytes(content[:-9]))
        assert store.latest() == Checkpoint(epoch=1, blobs=OLD)
        assert "passing over the checkpoint of epoch 2: " in caplog.text

    def test_a_crash_at_any_step_of_a_checkpoint_loads_the_one_before_or_the_new_one(
        self, storage: Storage, root: str
    ) -> None:
        counting = CrashingStorage(inner=storage)
        CheckpointStore(f"{root}/count", fingerprint={}, storage=counting).save(1, NEW)
        for step in range(counting.steps):
            store = CheckpointStore(f"{root}/{step}", fingerprint={}, storage=storage)
            store.save(1, OLD)
            crashing = CrashingStorage(step, storage)
            with pytest.raises(Crash):
                CheckpointStore(f"{root}/{step}", fingerprint={}, storage=crashing).save(2, NEW)
            assert store.latest() in (Checkpoint(epoch=1, blobs=OLD), Checkpoint(epoch=2, blobs=NEW))
            store.save(3, NEW)
            assert len(names(f"{root}/{step}", storage)) == 2, "leftovers are removed by the next save"

    def test_one_driver_at_a_time_has_a_run(self, storage: Storage, root: str) -> None:
        folder = storage.resolve(f"{root}/run")
        with held(folder, storage) as mine:
            mine.renew()
            mine.check()
            with pytest.raises(ArtifactError, match="is at work on this run"), held(folder, storage):
                pass
        assert names(root, storage) == []
        assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_the_url_says_which_storage_keeps_it(spark: SparkSession, tmp_path: Path) -> None:
    assert storage_for(str(tmp_path)) is LOCAL
    assert isinstance(storage_for("hdfs://nowhere/model"), HadoopStorage)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3a://bucket/model", "Hadoop has no connector for this URL: add its jar"),
        ("nosuch://host/model", 'No FileSystem for scheme "nosuch"; Hadoop has no connector'),
        ("hdfs:///model", "no host"),
    ],
)
def test_a_url_that_hadoop_does_not_know_is_refused_with_the_remedy(spark: SparkSession, url: str, says: str) -> None:
    with pytest.raises(ArtifactError, match=says):
        storage_for(url).resolve(url)


def test_a_name_node_that_is_not_there_is_a_clear_error(spark: SparkSession) -> None:
    url = "hdfs://127.0.0.1:1/model.zip"
    with pytest.raises(ArtifactError, match=r"model\.zip can't be read: .*Connection refused"):
        read(url, storage_for(url))

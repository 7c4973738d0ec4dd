"""From a folder to Parquet: poison records, restarts, new models."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyspark.errors import PySparkException
from tests.integration.streaming_place import Place, fail_for_now, make_model, png

from sparkweave.artifacts.lease import held
from sparkweave.errors import ArtifactError, ConfigError, ResourceError
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.storage import HadoopStorage
from sparkweave.spark.streaming.assembly import open_stream
from sparkweave.spark.streaming.query import BatchEnded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def write_zip(path: Path, entries: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path.read_bytes()


def test_poison_is_a_row_with_a_reason(spark: SparkSession, place: Place) -> None:
    whole = write_zip(place.folder / "z.zip", {"cat_1.png": png(1), "bad.png": b"\x89PNG\r\n\x1a\n", "notes.txt": b"x"})
    place.drop("one 100%25.png", png(0))
    place.drop("archive.zip", whole)
    place.drop("half.png", png(0)[:50])
    place.drop("empty.jpg", b"")
    place.drop("broken.zip", whole[:-30])
    place.drop("bomb.zip", write_zip_bomb(place.folder / "b.zip"))
    place.drop("letter.txt", b"hello")
    place.run(spark)
    rows = place.rows(spark)
    good = {name for name, row in rows.items() if row.error is None}
    assert good == {"one 100%25.png", "archive.zip!/cat_1.png"}
    assert set(rows) - good == {
        "half.png", "empty.jpg", "broken.zip", "letter.txt", "bomb.zip!/bomb.png", "archive.zip!/bad.png", "archive.zip!/notes.txt",
    }  # fmt: skip
    assert all(rows[name].prediction is None and rows[name].probability is None for name in set(rows) - good)
    model = TrainedModel.load(str(place.models / "000001.zip"))
    assert rows["one 100%25.png"].prediction in model.labels
    assert rows["one 100%25.png"].model == "000001"
    assert place.batches == [BatchEnded(batch_id=0, images=9, bad_images=7, model="000001")]


def write_zip_bomb(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(32 << 20))
    return path.read_bytes()


def test_a_new_version_is_taken_and_a_corrupt_one_is_not(
    spark: SparkSession, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    stream = open_stream(spark, place.order(max_per_batch=1), on_batch=place.batches.append)
    release = {0: lambda: make_model(1).save(str(place.models / "000002.zip")), 1: lambda: corrupt(place.models)}
    place_batch = place.batches.append

    def on_batch(batch: BatchEnded) -> None:
        place_batch(batch)
        release.get(batch.batch_id, lambda: None)()

    stream._on_batch = on_batch
    for number in range(3):
        place.drop(f"{number}.png", png(7))
    stream.run(spark, available_now=True)
    assert [batch.model for batch in place.batches] == ["000001", "000002", "000002"]
    assert "a new model is refused, model 000002 goes on" in caplog.text
    first, second, third = (place.rows(spark)[f"{number}.png"].probability for number in range(3))
    assert first != second == third


def corrupt(models: Path) -> None:
    content = bytearray((models / "000002.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (models / "000003.zip").write_bytes(content)


def test_an_output_is_of_one_checkpoint(spark: SparkSession, place: Place) -> None:
    place.drop("a.png", png(0))
    place.run(spark)
    with pytest.raises(ArtifactError, match="belongs to a stream with another checkpoint"):
        place.run(spark, checkpoint=str(place.folder / "other"))
    with pytest.raises(ArtifactError, match=r"is the checkpoint of a stream with the output .*/out, and this one's is"):
        place.run(spark, output=str(place.folder / "elsewhere"))
    place.drop("b.png", png(1))
    place.run(spark)
    assert set(place.rows(spark)) == {"a.png", "b.png"}


@pytest.mark.parametrize("name", ["output", "checkpoint"])
def test_a_stream_that_would_read_what_it_writes_is_refused_before_it_writes(
    spark: SparkSession, place: Place, name: str
) -> None:
    (place.folder / "link").symlink_to(place.input)
    with pytest.raises(ConfigError, match=f"^{name} is .*link/below, and the input .* holds it"):
        place.run(spark, **{name: str(place.folder / "link" / "below")})
    assert not (place.folder / "checkpoint").exists()
    assert not list(place.input.iterdir())


def test_an_interrupted_batch_is_replaced(spark: SparkSession, place: Place) -> None:
    place.drop("a.png", png(0))
    place.run(spark)
    # As after a death between the rename and Spark's note of it, with half of a second attempt beside.
    for name in ("0", ".0.crc"):
        (place.folder / "checkpoint/spark/commits" / name).unlink()
    shutil.copytree(place.output / "batch_id=0", place.output / ".batch_id=0.0123456789abcdef.new")
    place.run(spark)
    assert [batch.batch_id for batch in place.batches] == [0, 0]
    assert set(place.rows(spark)) == {"a.png"}
    assert not list(place.output.glob(".batch_id*"))


def test_a_disk_that_fails_for_a_while_ends_the_stream_and_the_batch_is_run_again(
    spark: SparkSession, place: Place
) -> None:
    place.drop("1_a.png", png(1))
    place.drop("2_b.png", png(2))
    stream = open_stream(
        spark, place.order(max_per_batch=1), on_batch=lambda _batch: fail_for_now(place.input / "2_b.png")
    )
    with pytest.raises(PySparkException, match=r"ResourceError: .*2_b\.png: can't be read on"):
        stream.run(spark, available_now=True)
    assert set(place.rows(spark)) == {"1_a.png"}
    (place.input / "2_b.png").unlink()
    place.drop("2_b.png", png(2))
    place.run(spark)
    assert {name: row.error for name, row in place.rows(spark).items()} == {"1_a.png": None, "2_b.png": None}
    assert [batch.batch_id for batch in place.batches] == [1]


def test_a_folder_that_the_driver_lost_is_no_error_of_its_files(spark: SparkSession, place: Place) -> None:
    place.drop("1_a.png", png(1))
    place.drop("2_b.png", png(2))
    away = place.folder / "away"
    stream = open_stream(spark, place.order(max_per_batch=1), on_batch=lambda _batch: place.input.rename(away))
    with pytest.raises(ResourceError, match="it is no folder on this machine any more"):
        stream.run(spark, available_now=True)
    away.rename(place.input)
    place.run(spark)
    assert all(row.error is None for row in place.rows(spark).values())


def test_transform_takes_a_stream(spark: SparkSession, place: Place) -> None:
    model = TrainedModel(make_model())
    schema = "path string, image struct<height: int, width: int, channels: int, data: binary>"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
    row = ("a", (8, 8, 1, bytearray(pixels.tobytes())))
    static = spark.createDataFrame([row, ("b", None)], schema)
    static.write.parquet(str(place.folder / "frames"))
    frames = spark.readStream.schema(schema).parquet(str(place.folder / "frames"))
    query = (
        model.transform(frames).writeStream.format("memory").queryName("predicted").trigger(availableNow=True).start()
    )
    query.awaitTermination()
    got = {row.path: row for row in spark.table("predicted").collect()}
    wanted = {row.path: row for row in model.transform(static).collect()}
    assert got == wanted
    assert got["a"].error is None
    assert got["b"].error == "its image is null"


KILLED = """
import sys, time
from pathlib import Path
from sparkweave.spark.session import build_session
from sparkweave.spark.streaming import query
from tests.integration.streaming_place import Place
place = Place.__new__(Place)
place.folder = Path(sys.argv[1]); place.input, place.output = place.folder / "in", place.folder / "out"
place.models, place.batches = place.folder / "models", []
from sparkweave.artifacts import swap
move = swap._move_in
def slow(staging, path, storage):
    if path.endswith("batch_id=1"):
        (place.folder / "middle").touch()
        time.sleep(600)
    move(staging, path, storage)
swap._move_in = slow
place.run(build_session("local[1]", {"spark.ui.enabled": "false"}), max_per_batch=2)
"""


def test_each_image_is_there_once_after_a_kill(spark: SparkSession, place: Place) -> None:
    for number in range(6):
        place.drop(f"{number}.png", png(number))
    with (place.folder / "said").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(place.folder)], stdout=said, stderr=said, start_new_session=True
        )
    try:
        while not (place.folder / "middle").exists() and child.poll() is None:
            time.sleep(0.1)
        assert child.poll() is None, (place.folder / "said").read_text()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert sorted(path.name for path in place.output.glob("batch_id=*")) == ["batch_id=0"]
    assert list(place.output.glob(".batch_id=1.*.new"))
    place.run(spark, max_per_batch=2)
    assert set(place.rows(spark)) == {f"{number}.png" for number in range(6)}
    assert [batch.batch_id for batch in place.batches] == [1, 2]


def test_a_second_driver_is_refused_while_the_first_one_runs(spark: SparkSession, place: Place) -> None:
    place.drop("1_a.png", png(1))
    place.run(spark)
    storage = HadoopStorage(Hadoop.of(spark.sparkContext))
    with (
        held(storage.resolve(str(place.folder / "checkpoint")), storage),
        pytest.raises(ArtifactError, match="wait for it"),
    ):
        place.run(spark)
    place.drop("2_b.png", png(2))
    place.run(spark)
    assert [batch.images for batch in place.batches] == [1, 1]

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkweave.errors import ArchiveError, ConfigError, DataError
from sparkweave.spark.archive_paths import FoundArchives
from sparkweave.spark.archives import read_archive_entries, read_image_archives
from sparkweave.testing.archives import (
    HOSTILE_ARCHIVES,
    HOSTILE_ENTRIES,
    encode_image,
    make_image,
    write_archive,
    write_image_archive,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ARCHIVE_READER = "spark.sql.files.archive.reader.enabled"
READ_BY_JVM = {"image bomb", "truncated PNG", "truncated JPEG", "another format", "text", "no bytes", "no label"}


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    folder = tmp_path / "two of them"
    folder.mkdir()
    write_image_archive(folder / "a.zip", labels=("0", "1"), images_per_label=20)
    pixels = {f"sub/größe {n}/2_{n:04}.png": encode_image(make_image(2, n)) for n in range(5)}
    write_archive(folder / "b.zip", {"sub/": b"", "__MACOSX/._x.png": b"x"} | pixels, method=zipfile.ZIP_DEFLATED)
    return folder


@pytest.fixture(params=["on", "off"])
def archive_reader(
    request: pytest.FixtureRequest, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Spark's own archive reader, and a Spark without one."""
    from sparkweave.spark import archives as module

    if request.param == "off":
        monkeypatch.setattr(module, "_enable_archive_reader", lambda _: False)
        spark.conf.set(ARCHIVE_READER, "false")
    yield request.param
    spark.conf.set(ARCHIVE_READER, "true")


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    return sorted((row.asDict(recursive=True) for row in frame.collect()), key=lambda row: str(row["path"]))


def test_images_of_several_archives_are_read_once_each_by_many_tasks(spark: SparkSession, archives: Path) -> None:
    frame = read_image_archives(spark, [str(archives), f"{archives}/*.zip"], splits=8)
    assert frame.rdd.getNumPartitions() >= 8
    rows = rows_of(frame)
    assert len({row["path"] for row in rows}) == len(rows) == 45
    assert {row["label"] for row in rows} == {"0", "1", "2"}
    assert all(row["error"] is None for row in rows)
    assert rows[21]["path"] == f"{archives}/a.zip!/1_0001.png"
    assert bytes(rows[21]["image"].pop("data")) == make_image(1, 1).tobytes()
    assert rows[21]["image"] == {"height": 28, "width": 28, "channels": 1}


def test_the_schema_is_plain(spark: SparkSession, archives: Path) -> None:
    assert read_image_archives(spark, str(archives)).schema.simpleString() == (
        "struct<path:string,label:string,image:struct<height:int,width:int,channels:int,data:binary>,error:string>"
    )


def test_sparks_own_reader_gives_the_same_rows(spark: SparkSession, archives: Path, archive_reader: str) -> None:
    by_spark = read_image_archives(spark, f"file://{archives}", reader="spark", splits=3)
    assert by_spark.rdd.getNumPartitions() == 3, "decoded in all tasks"
    assert rows_of(by_spark) == rows_of(read_image_archives(spark, str(archives)))


@pytest.mark.parametrize("reader", ["ranges", "spark"])
def test_entries_are_given_as_they_are_under_the_same_paths(
    spark: SparkSession, archives: Path, archive_reader: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkweave.spark import archives as module

    if reader == "spark":
        found = FoundArchives(by_spark=[f"file://{archives}"])
        monkeypatch.setattr(module, "find_archives", lambda *_arguments: found)
    entries = {row.path: bytes(row.content) for row in read_archive_entries(spark, [str(archives)]).collect()}
    wanted = {}
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(archives / name) as file:
            images = [entry for entry in file.namelist() if entry.endswith(".png") and not entry.startswith("__")]
            wanted |= {f"{archives}/{name}!/{entry}": file.read(entry) for entry in images}
    assert len(wanted) == 45
    assert {path: entries[path] for path in wanted} == wanted


def test_a_reader_switched_off_after_planning_gives_the_same_rows(spark: SparkSession, archives: Path) -> None:
    frame = read_image_archives(spark, str(archives), reader="spark")
    spark.conf.set(ARCHIVE_READER, "false")
    try:
        assert frame.count() == 45
    finally:
        spark.conf.set(ARCHIVE_READER, "true")


def test_images_are_resized_and_made_rgb(spark: SparkSession, archives: Path) -> None:
    frame = read_image_archives(spark, str(archives), image_size=(14, 10), channels=3)
    row = (
        frame.selectExpr("image.height h", "image.width w", "image.channels c", "length(image.data) n")
        .distinct()
        .collect()
    )
    assert [tuple(r) for r in row] == [(14, 10, 3, 420)]


def test_nothing_is_decoded_before_an_action(spark: SparkSession, archives: Path) -> None:
    frame = read_image_archives(spark, str(archives))
    shutil.rmtree(archives)
    with pytest.raises(Exception, match="can't be read"):
        frame.count()


@pytest.mark.parametrize("fault", HOSTILE_ARCHIVES)
def test_a_faulty_archive_is_refused_before_any_job(spark: SparkSession, tmp_path: Path, fault: str) -> None:
    HOSTILE_ARCHIVES[fault](path := str(tmp_path / "bad.zip"))
    with pytest.raises(ArchiveError, match=r"bad\.zip: "):
        read_image_archives(spark, path)


def test_all_bad_entries_come_as_rows_with_their_reason(spark: SparkSession, tmp_path: Path) -> None:
    for number, fault in enumerate(HOSTILE_ENTRIES):
        HOSTILE_ENTRIES[fault](str(tmp_path / f"{number:02}.zip"))
    rows = rows_of(read_image_archives(spark, str(tmp_path), splits=4))
    bad = [row for row in rows if row["error"] is not None]
    assert {os.path.basename(row["path"].split("!/")[0]) for row in bad} == {
        f"{n:02}.zip" for n in range(len(HOSTILE_ENTRIES))
    }
    assert all((row["image"] is None) == (row["error"] is not None) for row in rows)


def test_bad_images_through_sparks_reader_come_as_rows_too(
    spark: SparkSession, tmp_path: Path, archive_reader: str
) -> None:
    for fault in READ_BY_JVM:
        HOSTILE_ENTRIES[fault](str(tmp_path / f"{fault}.zip"))
    rows = rows_of(read_image_archives(spark, str(tmp_path), reader="spark"))
    assert len([row for row in rows if row["error"]]) == len(READ_BY_JVM)
    assert len([row for row in rows if row["image"]]) == 2 * len(READ_BY_JVM)


@pytest.mark.parametrize("reader", ["auto", "spark"])
@pytest.mark.parametrize("path", ["none.zip", "none*.zip", "."])
def test_a_path_without_archives_is_an_error(spark: SparkSession, tmp_path: Path, path: str, reader: str) -> None:
    with pytest.raises(DataError, match=r"give ZIP archives|read from ZIP archives") as caught:
        read_image_archives(spark, f"{tmp_path}/{path}", reader=reader)
    assert str(tmp_path) in str(caught.value)


def test_a_store_without_a_connector_is_an_error_with_the_remedy(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"s3a://bucket/a\.zip: can't be looked for .*add its jar to the session"):
        read_image_archives(spark, "s3a://bucket/a.zip")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_size": (0, 3)}, "height is 0"),
        ({"image_size": (3, float("nan"))}, "width is nan"),
        ({"channels": 2}, "channels is 2"),
        ({"splits": 0}, "splits is 0"),
        ({"reader": "other"}, "choose one of auto, ranges, spark"),
    ],
)
def test_options_are_checked(spark: SparkSession, archives: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_image_archives(spark, str(archives), **options)


@pytest.mark.parametrize("paths", [[], "", ["a.zip", ""]])
def test_no_path_is_an_error(spark: SparkSession, paths: Any) -> None:
    with pytest.raises(DataError, match="give at least one"):
        read_image_archives(spark, paths)

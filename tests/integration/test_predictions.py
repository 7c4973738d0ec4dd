from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweave.errors import ArtifactError, DataError
from sparkweave.spark.predictions import write_predictions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LABELS = ("cat", "dog")
COLUMNS = "path string, label string, prediction string, probability array<float>, error string"


def predictions(spark: SparkSession, *, bad: int = 0) -> DataFrame:
    good = [(f"a.zip!/{i}.png", "cat", "dog", [0.25, 0.75], None) for i in range(4)]
    return spark.createDataFrame(
        good + [(f"a.zip!/bad{i}.png", "cat", None, None, "truncated") for i in range(bad)], COLUMNS
    )


def test_parquet(spark: SparkSession, tmp_path: Path) -> None:
    written = write_predictions(predictions(spark), str(tmp_path / "out"), file_format="parquet", labels=LABELS)
    assert (written.images, written.bad_images) == (4, 0)
    row = spark.read.parquet(str(tmp_path / "out")).orderBy("path").first()
    assert row is not None
    assert row.asDict() == {"path": "a.zip!/0.png", "prediction": "dog", "probability": [0.25, 0.75], "error": None}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_csv_has_a_column_a_label(spark: SparkSession, tmp_path: Path) -> None:
    write_predictions(predictions(spark), str(tmp_path / "out.csv"), file_format="csv", labels=LABELS)
    rows = [row for part in (tmp_path / "out.csv").glob("*.csv") for row in csv.DictReader(part.open())]
    assert len(rows) == 4
    assert rows[0]["probability_dog"] == "0.75"
    assert rows[0]["prediction"] == "dog"


def test_too_many_bad_images_leave_nothing(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(?s)2 of 6 images can't be used, and max_bad_fraction is 0.1:.*bad0.png: truncated"
    ):
        write_predictions(
            predictions(spark, bad=2),
            str(tmp_path / "o[u]{t}*"),
            file_format="parquet",
            labels=LABELS,
            max_bad_fraction=0.1,
        )
    assert list(tmp_path.iterdir()) == []


def test_some_bad_images_are_listed_in_the_output(spark: SparkSession, tmp_path: Path) -> None:
    written = write_predictions(
        predictions(spark, bad=2), str(tmp_path / "out"), file_format="parquet", labels=LABELS, max_bad_fraction=0.5
    )
    assert (written.images, written.bad_images) == (6, 2)
    assert spark.read.parquet(str(tmp_path / "out")).where("error = 'truncated'").count() == 2


def test_an_output_that_exists_is_kept(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    frame = predictions(spark)
    with pytest.raises(ArtifactError, match="already exists"):
        write_predictions(frame, str(tmp_path / "out"), file_format="parquet", labels=LABELS)
    with pytest.raises(ArtifactError, match="was not written by Spark"):
        write_predictions(frame, str(tmp_path / "out"), file_format="parquet", labels=LABELS, overwrite=True)


def test_predictions_can_be_replaced(spark: SparkSession, tmp_path: Path) -> None:
    for bad in (0, 1):
        write_predictions(
            predictions(spark, bad=bad),
            str(tmp_path / "out"),
            file_format="parquet",
            labels=LABELS,
            overwrite=True,
            max_bad_fraction=0.5,
        )
    assert spark.read.parquet(str(tmp_path / "out")).count() == 5

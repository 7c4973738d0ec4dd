"""The names that Spark's web UI shows jobs by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkweave.spark.jobs import GROUP, described

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def name(spark: SparkSession) -> tuple[str | None, str | None]:
    context = spark.sparkContext
    return context.getLocalProperty("spark.jobGroup.id"), context.getLocalProperty("spark.job.description")


def test_the_name_before_comes_back(spark: SparkSession) -> None:
    before = name(spark)
    with described(spark, "outside"):
        with described(spark, "inside"):
            assert name(spark) == (GROUP, "sparkweave: inside")
        assert name(spark) == (GROUP, "sparkweave: outside")
    assert name(spark) == before


def test_a_users_own_group_comes_back_after_a_failure(spark: SparkSession) -> None:
    spark.sparkContext.setJobGroup("mine", "my job")
    with pytest.raises(ZeroDivisionError), described(spark, "failing"):
        raise ZeroDivisionError
    assert name(spark) == ("mine", "my job")
    for key in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
        spark.sparkContext.setLocalProperty(key, None)  # type: ignore[arg-type]

from __future__ import annotations

import pytest

from sparkweave.spark.daemon import installed_first

ZIPS = ["python/lib/pyspark.zip", "python/lib/py4j-0.10.9.9-src.zip"]


@pytest.mark.parametrize("last", ["", "/"])
def test_installed_files_come_before_the_zips_of_the_same_pyspark(last: str) -> None:
    home = "/env/site-packages/pyspark"
    path = ["/work", *(f"{home}/{name}" for name in ZIPS), "/env/site-packages"]
    assert installed_first(path, home + last) == ["/work", "/env/site-packages"]


@pytest.mark.parametrize(
    ("home", "others"),
    [
        ("/opt/spark", ["/env/site-packages"]),
        ("/opt/pyspark", ["/env/site-packages"]),
        ("", ["/env/site-packages", ""]),
    ],
)
def test_zips_of_another_spark_stay(home: str, others: list[str]) -> None:
    path = [*(f"{home}/{name}" for name in ZIPS), *others]
    assert installed_first(path, home) == path

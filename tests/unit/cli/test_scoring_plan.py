"""The memory of submitted commands that train nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.export.models import image_model

from sparkweave.cli.scoring_plan import scoring_settings
from sparkweave.deploy.memory_size import MIB, parse_size
from sparkweave.errors import ResourceError

CLUSTER = {"spark.submit.deployMode": "cluster", "spark.master": "yarn"}
OVERHEAD, DRIVER = "spark.executor.memoryOverhead", "spark.driver.memoryOverhead"


@pytest.fixture
def model(tmp_path: Path) -> str:
    url = str(tmp_path / "000001.zip")
    image_model().save(url)
    return url


def needed(model: str | None, **settings: str) -> dict[str, int]:
    found = scoring_settings({"model": model}, {**CLUSTER, **settings}, executors=2)
    return {name: parse_size(value) for name, value in found.items()}


def test_a_model_is_planned_by_its_own_size(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = needed(model)
    assert found.keys() == {OVERHEAD, DRIVER}
    assert 900 * MIB < found[OVERHEAD] < 1400 * MIB
    assert capsys.readouterr().err == ""


def test_of_a_folder_of_versions_the_newest_counts(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert needed(str(Path(model).parent)) == needed(model)
    assert capsys.readouterr().err == ""


def test_a_model_that_can_not_be_looked_at_is_taken_for_a_large_one(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needed(str(tmp_path / "none.zip"))[OVERHEAD] > needed(model)[OVERHEAD] + 256 * MIB
    assert "The model isn't looked at from here" in capsys.readouterr().err


def test_a_folder_without_a_version_is_taken_for_a_large_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needed(str(tmp_path))
    assert "has no version yet): memory for 256 MiB" in capsys.readouterr().err


def test_a_model_that_is_too_long_to_be_read_counts_with_its_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "large.zip").open("wb") as file:
        file.truncate(600 * MIB)
    assert needed(str(tmp_path / "large.zip"))[OVERHEAD] > 3 * 600 * MIB
    assert "memory for 600 MiB of weights is planned" in capsys.readouterr().err


def test_without_a_model_the_imports_count(model: str) -> None:
    assert needed(None)[OVERHEAD] <= needed(model)[OVERHEAD]


def test_what_is_given_and_too_small_is_told_and_kept(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert needed(model, **{OVERHEAD: "512m"}).keys() == {DRIVER}
    err = capsys.readouterr().err
    assert err.startswith("Warning: a worker needs ")
    assert "--batch-size" not in err
    assert "--ignore-memory-plan" not in err


def test_a_container_that_yarn_does_not_grant_is_told(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    largest = "<property><name>yarn.scheduler.maximum-allocation-mb</name><value>1536</value></property>"
    (tmp_path / "yarn-site.xml").write_text(f"<configuration>{largest}</configuration>")
    monkeypatch.setenv("YARN_CONF_DIR", str(tmp_path))
    needed(model)
    assert "YARN grants at most 1.50 GiB: choose a smaller --executor-memory; or have" in capsys.readouterr().err


def test_tasks_of_one_executor_share_its_overhead(model: str) -> None:
    assert needed(model, **{"spark.executor.cores": "4"})[OVERHEAD] > 3 * needed(model)[OVERHEAD]


def test_a_task_that_no_executor_has_the_cores_for_is_refused(model: str) -> None:
    with pytest.raises(ResourceError, match=r"a worker takes 2 cores \(spark\.task\.cpus\), and an executor has 1"):
        needed(model, **{"spark.task.cpus": "2"})

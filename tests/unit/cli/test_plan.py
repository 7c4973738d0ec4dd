"""`sparkweave plan` with a worker that was measured before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Outcome

from sparkweave.cli.plan import memory_settings
from sparkweave.deploy.footprint import Footprint
from sparkweave.deploy.memory_size import MIB
from sparkweave.errors import ResourceError
from sparkweave.spark import memory
from sparkweave.strategies import AllReduce
from sparkweave.testing.archives import write_image_archive

Run = Callable[..., Outcome]
GIVEN = ("--images", "60000", "--image-size", "28x28")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def measure(**request: Any) -> Footprint:
        asked.append(request)
        return Footprint(
            daemon=45 * MIB,
            base=700 * MIB,
            parameters=2 * MIB,
            gradients=2 * MIB,
            optimizer=4 * MIB,
            strategy=0,
            shared_state=6 * MIB,
            peaks=((4, 130 * MIB), (100, 150 * MIB)),
            reserved=90 * MIB,
        )

    monkeypatch.setattr(memory, "measure_footprint", measure)
    return asked


def test_the_classic_case_ends_in_the_table_the_settings_and_exit_code_4(run: Run) -> None:
    outcome = run("plan", *GIVEN, "--executor-memory", "512m", "--executor-memory-overhead", "384m")
    assert outcome.code == 4
    assert "60,000 images of 28x28, 1 channel, 10 classes; 2 workers, 1 an executor" in outcome.out
    assert re.search(r"optimizer's state  +4 MiB   counted after a step", outcome.out)
    assert re.search(r"sums with other workers  +6 MiB ", outcome.out)
    assert re.search(r"container  +896 MiB   heap \+ overhead: YARN kills it above", outcome.out)
    assert "--conf spark.executor.memory=512m" in outcome.out
    assert "the overhead of 384 MiB leaves it" in outcome.err


def test_an_overhead_that_is_not_given_is_the_one_that_submit_sets(run: Run) -> None:
    outcome = run("plan", *GIVEN, "--num-executors", "4", "--deploy-mode", "cluster")
    assert outcome.code == 0, outcome.err
    assert re.search(
        r"reckoned with as `sparkweave submit` sets it: spark\.executor\.memoryOverhead=\d+m and spark\.driver\.memoryOverhead=\d+m",
        outcome.err,
    )
    document = json.loads(
        run("plan", *GIVEN, "--deploy-mode", "cluster", "--executor-memory-overhead", "2g", "--json").out
    )
    assert set(document["assumed"]) == {"spark.driver.memoryOverhead"}


def test_settings_as_they_are_advised_are_accepted(run: Run) -> None:
    advised = json.loads(run("plan", *GIVEN, "--json").out)
    overhead = advised["settings"]["spark.executor.memoryOverhead"]
    native = str(advised["native_memory_bytes"] // MIB)
    outcome = run("plan", *GIVEN, "--executor-memory-overhead", overhead, "--native-memory", native)
    assert outcome.code == 0, outcome.err
    assert "suffice" in outcome.err


def test_the_document_has_rows_settings_and_findings(run: Run) -> None:
    outcome = run("plan", *GIVEN, "--json", "--yarn-maximum", "1g")
    document = json.loads(outcome.out)
    assert outcome.code == 4
    assert sum(row["size"] for row in document["rows"] if row["part"] == "worker") == document["worker_bytes"]
    assert document["images"] == {"images": 60_000, "shape": [1, 28, 28], "classes": 10}
    assert any("YARN grants at most 1.00 GiB" in finding for finding in document["findings"])


def test_archives_are_looked_at(run: Run, tmp_path: Path, measured: list[dict[str, Any]]) -> None:
    write_image_archive(tmp_path / "a.zip", labels=("0", "1", "2"), images_per_label=4, size=(8, 9))
    outcome = run("plan", str(tmp_path / "a.zip"), "--executor-memory-overhead", "2g")
    assert outcome.code == 0, outcome.err
    assert "12 images of 8x9, 1 channel, 3 classes" in outcome.out
    assert (measured[0]["input_shape"], measured[0]["classes"]) == ((1, 8, 9), 3)


def test_the_training_is_measured_as_it_is_asked_for(run: Run, measured: list[dict[str, Any]]) -> None:
    run(
        "plan", *GIVEN, "--channels", "3", "--classes", "7", "--network", "resnet", "--strategy", "all-reduce", "--batch-size", "64",
        "--optimizer", "sgd", "--optimizer-option", "momentum=0.9", "--task-cpus", "2", "--executor-cores", "4",
    )  # fmt: skip
    (asked,) = measured
    assert (asked["network"]["name"], asked["strategy"], asked["threads"]) == ("resnet", AllReduce(), 2)
    assert (asked["input_shape"], asked["classes"]) == ((3, 28, 28), 7)
    config = asked["config"]
    assert (config.batch_size, config.optimizer, dict(config.optimizer_options)) == (64, "sgd", {"momentum": 0.9})


def test_workers_are_as_many_as_the_executors_have_slots(run: Run) -> None:
    outcome = run("plan", *GIVEN, "--num-executors", "3", "--executor-cores", "4", "--executor-memory-overhead", "2g")
    assert "12 workers, 4 an executor" in outcome.out
    assert "4 workers an executor share one overhead of 2.00 GiB" in outcome.err


def test_the_driver_counts_in_cluster_mode(run: Run) -> None:
    arguments = ("plan", *GIVEN, "--executor-memory-overhead", "2g", "--deploy-mode", "cluster")
    refused = run(*arguments, "--driver-memory-overhead", "384m")
    assert (refused.code, "--conf spark.driver.memoryOverhead=" in refused.err) == (4, True)
    assert run(*arguments, "--driver-memory-overhead", "2g").code == 0


def test_settings_of_spark_count(run: Run) -> None:
    outcome = run(
        "plan", *GIVEN, "--conf", "spark.executor.memoryOverhead=2g", "--conf", "spark.executor.pyspark.memory=1g"
    )
    assert "spark.executor.pyspark.memory is 1.00 GiB" in outcome.err


@pytest.mark.parametrize(
    "setting", ["spark.executor.cores=two", "spark.executor.memoryOverheadFactor=x", "spark.task.cpus=0"]
)
def test_settings_that_are_no_numbers_are_refused(run: Run, setting: str) -> None:
    outcome = run("plan", *GIVEN, "--conf", setting)
    assert outcome.code == 2
    assert f"{setting.partition('=')[0]} is " in outcome.err


@pytest.mark.parametrize("arguments", [(), ("--images", "10"), ("--image-size", "28x28")])
def test_without_images_there_is_nothing_to_plan(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("plan", *arguments)
    assert outcome.code == 2
    assert "give --images and --image-size HxW" in outcome.err


TRAINING = ("hdfs:///data/train.zip", "--output", "hdfs:///model.zip")


def test_overheads_that_nobody_set_are_reckoned_for_a_submission() -> None:
    added = memory_settings(
        TRAINING, {"spark.executor.memory": "1g", "spark.submit.deployMode": "cluster"}, executors=4
    )
    assert set(added) == {"spark.executor.memoryOverhead", "spark.driver.memoryOverhead"}
    assert set(memory_settings(TRAINING, {"spark.executor.memory": "1g"}, executors=4)) == {
        "spark.executor.memoryOverhead"
    }


def test_an_overhead_that_is_set_is_kept_or_refused() -> None:
    assert memory_settings(TRAINING, {"spark.executor.memoryOverhead": "2g"}, executors=4) == {}
    with pytest.raises(ResourceError, match=r"a worker needs .* of native memory"):
        memory_settings(TRAINING, {"spark.executor.memoryOverhead": "512m"}, executors=4)
    ignoring = (*TRAINING, "--ignore-memory-plan")
    assert memory_settings(ignoring, {"spark.executor.memoryOverhead": "512m"}, executors=4) == {}


@pytest.mark.parametrize("given", [("--workers", "8"), ("--workers", "8", "--ignore-memory-plan")])
def test_workers_that_can_not_start_are_not_submitted(given: tuple[str, ...]) -> None:
    with pytest.raises(ResourceError, match="lower --workers to 4, or set --num-executors 8"):
        memory_settings((*TRAINING, *given), {}, executors=4)
    assert memory_settings((*TRAINING, *given), {"spark.executor.cores": "2"}, executors=4)


def test_archives_on_this_machine_count_as_they_are(tmp_path: Path, measured: list[dict[str, Any]]) -> None:
    write_image_archive(tmp_path / "a.zip", labels=("0", "1"), images_per_label=2, size=(40, 50))
    memory_settings((str(tmp_path / "a.zip"), "--output", "m"), {}, executors=1)
    assert measured[0]["input_shape"] == (1, 40, 50)


def test_a_container_that_yarn_site_xml_does_not_grant_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    largest = "<property><name>yarn.scheduler.maximum-allocation-mb</name><value>1536</value></property>"
    (tmp_path / "yarn-site.xml").write_text(f"<configuration>{largest}</configuration>")
    monkeypatch.setenv("YARN_CONF_DIR", str(tmp_path))
    arguments = ("none.zip", "--output", "model")
    with pytest.raises(ResourceError, match=r"YARN grants at most 1\.50 GiB"):
        memory_settings(arguments, {"spark.executor.memory": "1g", "spark.master": "yarn"}, executors=2)
    assert memory_settings(arguments, {"spark.executor.memory": "1g", "spark.master": "k8s://h"}, executors=2)

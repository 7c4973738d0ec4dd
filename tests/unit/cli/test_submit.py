"""`sparkweave submit`, with a shell script for spark-submit and no cluster."""

from __future__ import annotations

import re
import shlex
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from tests.unit.cli.conftest import Outcome

from sparkweave.cli import plan, scoring_plan
from sparkweave.cli.train import train
from sparkweave.deploy import default_environment
from sparkweave.deploy.application import Application
from sparkweave.deploy.cluster_files import ClusterFiles
from sparkweave.errors import ResourceError

Run = Callable[..., Outcome]
submit_module = sys.modules["sparkweave.cli.submit"]
TRAIN = ("train", "hdfs:///data/train.zip", "--output", "hdfs:///models/model.zip")
CLASSIC = (
    "--master", "yarn", "--deploy-mode", "cluster", "--num-executors", "4", "--executor-memory", "1g", "--driver-memory", "1g",
)  # fmt: skip
ID = "application_1_0001"


class Cluster:
    """What was shipped, and what the driver's transcript is."""

    def __init__(self) -> None:
        self.shipped: list[str] = []
        self.transcript: bytes | None = None
        self.plans: list[tuple[Any, ...]] = []
        self.removed: list[str] = []
        self.forgotten: list[tuple[str, float]] = []
        self.packed: list[tuple[str, ...]] = []


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    monkeypatch.setenv("HADOOP_USER_NAME", "me")
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    (tmp_path / "spark" / "jars" / "spark.jar").write_text("jar")
    program(tmp_path, "exit 0")

    def pack(order: Any, report: Callable[[str], None]) -> None:
        report("packing")
        cluster.packed.append(order.requirements)
        order.output.write_bytes(b"environment")

    def memory(arguments: Any, settings: Any, *, executors: int, command: click.Command = train) -> dict[str, str]:
        command.make_context(command.name, list(arguments))
        cluster.plans.append((tuple(arguments), dict(settings), executors))
        return {"spark.executor.memoryOverhead": "1234m"}

    def upload(_files: ClusterFiles, source: Path, path: str) -> None:
        cluster.shipped.append(path.partition("/")[0])

    monkeypatch.setattr(default_environment, "pack", pack)
    monkeypatch.setattr(plan, "memory_settings", memory)
    monkeypatch.setattr(ClusterFiles, "has", lambda *_: False)
    monkeypatch.setattr(ClusterFiles, "upload", upload)
    monkeypatch.setattr(ClusterFiles, "read", lambda *_: cluster.transcript)
    monkeypatch.setattr(ClusterFiles, "remove", lambda files, path: cluster.removed.append(files.url(path)))
    monkeypatch.setattr(
        ClusterFiles, "forget_old", lambda _, folder, *, seconds: cluster.forgotten.append((folder, seconds))
    )
    return cluster


FINISHES = f"echo 'Application report for {ID} (state: FINISHED)'\nprintf '\\t final status: SUCCEEDED\\n'"


def program(folder: Path, script: str) -> None:
    path = folder / "spark" / "bin" / "spark-submit"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\n{script}\n')
    path.chmod(0o755)


def called(folder: Path) -> list[str]:
    return (folder / "called").read_text().split()


def test_a_dry_run_prints_a_command_to_paste_and_touches_no_cluster(run: Run, cluster: Cluster) -> None:
    outcome = run("submit", *CLASSIC, "--dry-run", "--", *TRAIN)
    assert outcome.code == 0, outcome.err
    words = shlex.split(outcome.out.replace("\\\n", " "))
    assert words[0] == "HADOOP_CONF_DIR=/etc/hadoop"
    assert words[1].endswith("/bin/spark-submit")
    assert words[-4:] == list(TRAIN)
    assert "spark.executor.memoryOverhead=1234m" in words
    assert words[words.index("--num-executors") + 1] == "4"
    assert cluster.shipped == []


def test_the_memory_plan_gets_what_is_known(run: Run, cluster: Cluster) -> None:
    run("submit", *CLASSIC, "--executor-memory-overhead", "2g", "--dry-run", "--", *TRAIN)
    ((arguments, settings, executors),) = cluster.plans
    assert arguments == TRAIN[1:]
    assert executors == 4
    assert settings == {
        "spark.executor.instances": "4",
        "spark.executor.memory": "1g",
        "spark.driver.memory": "1g",
        "spark.executor.memoryOverhead": "2g",
        "spark.submit.deployMode": "cluster",
        "spark.master": "yarn",
    }


@pytest.mark.parametrize(
    ("option", "value", "setting", "other"),
    [
        ("--num-executors", "4", "spark.executor.instances", "8"),
        ("--executor-memory", "1g", "spark.executor.memory", "8g"),
        ("--executor-memory-overhead", "1g", "spark.executor.memoryOverhead", "8g"),
        ("--driver-memory", "1g", "spark.driver.memory", "8g"),
        ("--queue", "one", "spark.yarn.queue", "two"),
        ("--master", "yarn", "spark.master", "k8s://https://host"),
        ("--name", "one", "spark.app.name", "two"),
    ],
)
def test_a_setting_has_one_value(option: str, value: str, setting: str, other: str, run: Run, cluster: Cluster) -> None:
    refused = run("submit", option, value, "--conf", f"{setting}={other}", "--dry-run", "--", *TRAIN)
    assert refused.code == 2
    assert f"{option} is {value}, and --conf {setting}={other}" in refused.err
    assert "packing" not in refused.err
    assert run("submit", option, value, "--conf", f"{setting}={value}", "--dry-run", "--", *TRAIN).code == 0
    assert cluster.plans[0][1][setting] == value


def test_a_setting_that_an_option_has_by_default_has_one_value_too(run: Run) -> None:
    refused = run("submit", "--conf", "spark.submit.deployMode=cluster", "--dry-run", "--", *TRAIN)
    assert "--deploy-mode is client, and --conf spark.submit.deployMode=cluster" in refused.err
    named = run("submit", "--conf", "spark.app.name=mine", "--dry-run", "--", *TRAIN)
    assert "--name mine" in named.out


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (("evaluate", "hdfs:///m.zip", "hdfs:///a.zip"), "hdfs:///m.zip"),
        (("predict", "hdfs:///m.zip", "hdfs:///a.zip", "--output", "hdfs:///out"), "hdfs:///m.zip"),
        (("stream", "hdfs:///m", "--source", "files", "--input", "hdfs:///in", "--output", "hdfs:///out",
          "--checkpoint", "hdfs:///state"), "hdfs:///m"),
        (("doctor",), None),
    ],
)  # fmt: skip
def test_what_trains_nothing_is_planned_as_scoring(
    command: tuple[str, ...], model: str | None, run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def settings(options: Any, settings: Any, *, executors: int) -> dict[str, str]:
        asked.append((options.get("model"), settings["spark.executor.memoryOverhead"], executors))
        return {}

    monkeypatch.setattr(scoring_plan, "scoring_settings", settings)
    outcome = run("submit", "--executor-memory-overhead", "512m", "--dry-run", "--", *command)
    assert outcome.code == 0, outcome.err
    assert asked == [(model, "512m", 2)]
    assert cluster.plans == []


def test_a_verification_is_planned_as_it_stands(run: Run, cluster: Cluster) -> None:
    arguments = ("hdfs:///data/train.zip", "--steps", "5", "--network", "resnet")
    outcome = run("submit", "--num-executors", "4", "--dry-run", "--", "verify", *arguments)
    assert outcome.code == 0, outcome.err
    assert [(planned, executors) for planned, _, executors in cluster.plans] == [(arguments, 4)]


def test_a_verification_whose_driver_has_a_container_needs_its_size(run: Run, cluster: Cluster) -> None:
    command = ("--dry-run", "--", "verify", "hdfs:///data/train.zip")
    outcome = run("submit", *CLASSIC, *command)
    assert outcome.code == 2
    assert "--driver-memory-overhead 8g" in outcome.err
    assert run("submit", *CLASSIC, "--driver-memory-overhead", "8g", *command).code == 0


def test_environment_code_and_sparks_jars_are_shipped(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    program(tmp_path, FINISHES)
    outcome = run("submit", *CLASSIC, "--", *TRAIN)
    assert outcome.code == 0, outcome.err
    assert cluster.shipped == ["environments", "code", "spark"]
    words = called(tmp_path)
    archives = words[words.index("--archives") + 1].split(",")
    assert [archive.rpartition("#")[2] for archive in archives] == ["environment", "code"]
    assert all(archive.startswith("hdfs:///user/me/.sparkweave/") for archive in archives)
    assert f"{ID} is FINISHED" in outcome.err


def test_archives_on_this_disk_are_shipped_on_request(run: Run, cluster: Cluster, tmp_path: Path, archive: str) -> None:
    program(tmp_path, FINISHES)
    outcome = run("submit", *CLASSIC, "--upload", "--", "train", archive, "--output", "hdfs:///m.zip")
    assert outcome.code == 0, outcome.err
    assert "data" in cluster.shipped
    (url,) = [word for word in called(tmp_path) if word.endswith("/train.zip")]
    assert url.startswith("hdfs:///user/me/.sparkweave/data/")


def test_a_cluster_that_can_not_be_reached_is_told_of_before_anything_is_packed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> bool:
        raise ResourceError("no HDFS here")

    monkeypatch.setattr(ClusterFiles, "has", unreachable)
    outcome = run("submit", *CLASSIC, "--", *TRAIN)
    assert outcome.code == 4
    assert outcome.err == "Error: no HDFS here\n"


def test_the_environment_is_packed_once(run: Run) -> None:
    first, second = (run("submit", *CLASSIC, "--dry-run", "--", *TRAIN) for _ in range(2))
    assert "packing" in first.err
    assert "packing" not in second.err


def test_what_a_command_needs_beside_is_packed_with_it(run: Run, cluster: Cluster) -> None:
    assert run("submit", *CLASSIC, "--dry-run", "--", *TRAIN).code == 0
    given = (*CLASSIC, "--requirement", "scikit-learn", "--dry-run", "--")
    outcomes = [run("submit", *given, *TRAIN, "--tensorboard", "file:/shared") for _ in range(2)]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].err
    assert cluster.packed == [(), ("scikit-learn", "sparkweave[tensorboard]")]


@pytest.mark.parametrize("packed", [("--python", "/opt/python"), ("--environment", "hdfs:///env.tar.gz")])
def test_a_requirement_is_refused_where_nothing_is_packed(run: Run, packed: tuple[str, str]) -> None:
    outcome = run("submit", *packed, "--requirement", "scikit-learn", "--dry-run", "--", *TRAIN)
    assert outcome.code == 2
    assert f"--requirement adds to the Python that is packed, and with {' '.join(packed)} none is" in outcome.err
    assert run("submit", *packed, "--dry-run", "--", *TRAIN, "--mlflow", "http://host").code == 0


def test_in_cluster_mode_the_drivers_lines_and_exit_code_are_the_commands(
    run: Run, cluster: Cluster, tmp_path: Path
) -> None:
    script = f"echo 'Application report for {ID} (state: FINISHED)'\nprintf '\\t final status: FAILED\\n'\nexit 1"
    program(tmp_path, script)
    cluster.transcript = b'{"first": 0, "lines": [["err", "epoch 1/2"], ["out", "Accuracy"]], "exit_code": 5}'
    outcome = run("submit", *CLASSIC, "--", *TRAIN)
    assert outcome.code == 5
    assert outcome.out == "Accuracy\n"
    assert "epoch 1/2\n" in outcome.err
    assert f"`yarn logs -applicationId {ID}`" in outcome.err


def test_a_driver_that_was_killed_is_explained_by_yarns_diagnostics(run: Run, tmp_path: Path) -> None:
    killed = "Container is running 9MB beyond the 'PHYSICAL' memory limit. Current usage: 1.0 GB of 1 GB physical memory used"
    report = f"echo 'Application report for {ID} (state: FAILED)'\nprintf '\\t diagnostics: exitCode: -104\\n'"
    program(tmp_path, f"{report}\necho \"{killed}\"\nprintf '\\t final status: FAILED\\n'\nexit 1")
    outcome = run("submit", *CLASSIC, "--", *TRAIN)
    assert outcome.code == 1
    assert "YARN killed a container for exceeding its physical memory limit: 1.0 GB of 1 GB" in outcome.err


def test_a_submission_that_yarn_refuses_has_its_reason(run: Run, tmp_path: Path) -> None:
    program(tmp_path, "echo 'Exception: queue nine is not known'\nexit 1")
    outcome = run("submit", *CLASSIC, "--queue", "nine", "--", *TRAIN)
    assert outcome.code == 4
    assert "queue nine is not known" in outcome.err


def test_in_client_mode_the_drivers_exit_code_is_the_commands(run: Run, tmp_path: Path) -> None:
    program(tmp_path, "exit 3")
    assert run("submit", "--master", "spark://host:7077", "--", *TRAIN).code == 3
    assert "spark.pyspark.python=./environment/bin/python" in called(tmp_path)


def test_on_a_local_master_nothing_is_packed(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    assert run("submit", "--master", "local[2]", "--", "train", "here.zip", "--output", "model").code == 0
    assert "--archives" not in called(tmp_path)
    assert cluster.plans == []


def test_kubernetes_needs_an_image(run: Run) -> None:
    given = ("submit", "--master", "k8s://https://host:6443", "--deploy-mode", "cluster")
    refused = run(*given, "--", *TRAIN)
    assert (refused.code, "give --image" in refused.err) == (2, True)
    printed = run(*given, "--image", "me/sparkweave:1", "--dry-run", "--", *TRAIN)
    assert "local:///opt/sparkweave/main.py train" in printed.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--", "train", "hdfs:///a.zip", "--output", "hdfs:///m", "--epochs", "0"), 2, "--epochs"),
        (("--", "dance"), 2, "after -- comes 'dance'"),
        (("--deploy-mode", "cluster", "--", "train", "hdfs:///a.zip", "--output", "m.zip"), 2, "it would be lost"),
        (("--master", "yarn-client", "--", *TRAIN), 2, "master is 'yarn-client'"),
        (("--conf", "spark.dynamicAllocation.enabled=true", "--", *TRAIN), 2, "leave the setting out"),
        (("--environment", "none.tar.gz", "--", *TRAIN), 6, "none.tar.gz"),
        (("--staging-dir", "here", "--", *TRAIN), 2, "give a folder on HDFS"),
        (("--dry-run", "--upload", "--", *TRAIN), 2, "--dry-run ships nothing"),
        (("--conf", "spark.authenticate.secret=x", "--", *TRAIN), 2, "put it into spark-defaults.conf"),
    ],
)
def test_what_can_not_be_submitted_is_refused_before_anything_is_shipped(
    arguments: tuple[str, ...], code: int, message: str, run: Run, cluster: Cluster
) -> None:
    outcome = run("submit", *arguments)
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert cluster.shipped == []


def test_without_spark_the_message_says_what_to_set(run: Run, tmp_path: Path) -> None:
    (tmp_path / "spark" / "bin" / "spark-submit").unlink()
    outcome = run("submit", *CLASSIC, "--", *TRAIN)
    assert outcome.code == 4
    assert "set SPARK_HOME" in outcome.err


def test_a_transcript_is_removed_once_it_was_read(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    program(tmp_path, FINISHES)
    assert run("submit", *CLASSIC, "--", *TRAIN).code == 0
    (removed,) = cluster.removed
    assert removed.startswith("hdfs:///user/me/.sparkweave/runs/")
    assert f"spark.yarn.appMasterEnv.SPARKWEAVE_CONSOLE={removed}transcript.json" in called(tmp_path)


def test_what_nobody_follows_keeps_no_transcript(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    assert "SPARKWEAVE_CONSOLE" not in run("submit", *CLASSIC, "--dry-run", "--", *TRAIN).out
    assert cluster.forgotten == []
    program(tmp_path, FINISHES)
    run("submit", *CLASSIC, "--detach", "--", *TRAIN)
    assert "SPARKWEAVE_CONSOLE" not in " ".join(called(tmp_path))
    assert cluster.forgotten == [("runs", 7 * 24 * 3600.0)], "left behind by runs that were interrupted"


def test_detached_the_command_comes_back_and_leaves_no_spark_submit(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    program(tmp_path, f"echo $$ > {tmp_path}/pid\necho 'Application report for {ID} (state: ACCEPTED)'\nexec sleep 600")
    outcome = run("submit", *CLASSIC, "--detach", "--", *TRAIN)
    assert outcome.code == 0
    assert f"{ID} goes on without this command" in outcome.err
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    assert cluster.removed == []


def test_an_application_that_fails_at_once_is_a_failure_detached_too(run: Run, tmp_path: Path) -> None:
    program(
        tmp_path, f"echo 'Application report for {ID} (state: FAILED)'\nprintf '\\t final status: FAILED\\n'\nexit 1"
    )
    assert run("submit", *CLASSIC, "--detach", "--", *TRAIN).code == 1


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_ones_own_module_is_found_by_the_plan_the_driver_and_the_executors(
    mode: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / f"nets_of_{mode}.py").write_text("def build(input_shape, classes): ...\n")
    monkeypatch.setattr(plan, "memory_settings", lambda *_, **__: __import__(f"nets_of_{mode}") and {})
    monkeypatch.setattr("sys.path", list(sys.path))
    given = ("--deploy-mode", mode, "--module", str(tmp_path / "src" / f"nets_of_{mode}.py"), "--dry-run")
    outcome = run("submit", *given, "--", *TRAIN, "--network", f"nets_of_{mode}:build")
    assert outcome.code == 0, outcome.err
    assert (f"PYTHONPATH={tmp_path}/src" in outcome.out) == (mode == "client")
    code = next(word for word in outcome.out.replace("'", " ").replace("#", " ").split(",") if "/code-" in word)
    with zipfile.ZipFile(code.split()[0]) as archive:
        assert f"nets_of_{mode}.py" in archive.namelist()


@pytest.mark.parametrize(
    "target",
    [("--deploy-mode", "client"), ("--deploy-mode", "cluster"), ("--master", "spark://host:7077")],
    ids=["client", "cluster", "standalone"],
)
def test_ones_own_module_comes_along_to_nodes_with_a_python_of_their_own(
    target: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("")
    given = (*target, "--python", "/opt/python", "--dry-run", "--")
    assert "--archives" not in run("submit", *given, *TRAIN).out
    outcome = run("submit", "--module", str(tmp_path / "mine.py"), *given, *TRAIN)
    assert outcome.code == 0, outcome.err
    words = shlex.split(outcome.out.replace("\\\n", " "))
    path, _, folder = words[words.index("--archives") + 1].rpartition("#")
    assert folder == "code"
    assert {"sparkweave/__init__.py", "mine.py"} <= set(zipfile.ZipFile(path).namelist())
    assert {"spark.pyspark.python=/opt/python", "spark.executorEnv.PYTHONPATH=code"} <= set(words)
    assert "packing" not in outcome.err


def test_with_a_python_of_the_nodes_only_ones_own_code_is_shipped(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    program(tmp_path, FINISHES)
    (tmp_path / "mine.py").write_text("")
    given = (*CLASSIC, "--python", "/opt/python", "--module", str(tmp_path / "mine.py"))
    outcome = run("submit", *given, "--", *TRAIN)
    assert outcome.code == 0, outcome.err
    assert cluster.shipped == ["code"]


YARN, STANDALONE = ("--master", "yarn"), ("--master", "spark://host:7077")
KUBERNETES = ("--master", "k8s://https://host:6443", "--image", "me/sparkweave:1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((*STANDALONE, "--num-executors", "4"), "--num-executors is for the master yarn and k8s://, .*--total-executor-cores"),
        ((*STANDALONE, "--queue", "nine"), "--queue is for the master yarn, and --master is spark://host:7077"),
        ((*STANDALONE, "--detach"), "--detach is for the master yarn"),
        ((*STANDALONE, "--executor-memory-overhead", "1g"), "--executor-memory-overhead is for"),
        ((*STANDALONE, "--staging-dir", "hdfs:///x"), "--staging-dir is where --upload brings"),
        ((*YARN, "--total-executor-cores", "4"), "--total-executor-cores is for the master spark://, .*--num-executors"),
        ((*YARN, "--image", "me/sparkweave:1"), "--image is for the master k8s://"),
        ((*YARN, "--detach"), "--detach is for a driver in the cluster, .* --deploy-mode client"),
        ((*YARN, "--driver-cores", "2"), "--driver-cores is for a driver in the cluster"),
        (("--master", "local[2]", "--upload"), "--upload is for the master yarn and spark:// and k8s://"),
        (("--master", "local[2]", "--executor-memory", "1g"), "--executor-memory is for"),
        ((*KUBERNETES, "--module", "mine.py"), "--module is for .*into the image"),
        ((*KUBERNETES, "--requirement", "scikit-learn"), "--requirement is for .*into the image"),
        ((*KUBERNETES, "--environment", "hdfs:///env.tar.gz"), "--environment is for .*into the image"),
        ((*KUBERNETES, "--deploy-mode", "cluster", "--detach"), "--detach is for the master yarn"),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_is_refused(given: tuple[str, ...], said: str, run: Run) -> None:
    outcome = run("submit", *given, "--dry-run", "--", *TRAIN)
    assert outcome.code == 2
    assert re.search(said, outcome.err), outcome.err


def test_a_kill_that_fails_or_is_interrupted_leaves_no_spark_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Running:
        application = Application(id=ID)
        ended = 0

        def end(self) -> None:
            self.ended += 1

    def refuse(*_: object) -> None:
        raise ResourceError("Permission denied")

    running: Any = Running()
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr(submit_module, "kill_application", refuse)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    with pytest.raises(ResourceError):
        submit_module._ask_to_kill(running, tmp_path)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: (_ for _ in ()).throw(click.Abort()))
    with pytest.raises(click.Abort):
        submit_module._ask_to_kill(running, tmp_path)
    assert running.ended == 2

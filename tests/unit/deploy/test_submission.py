"""The spark-submit command of a submission."""

from __future__ import annotations

import dataclasses
import shlex
import sys

import pytest

from sparkweave.deploy.submission import CONSOLE_VARIABLE, Submission, pasteable
from sparkweave.errors import ConfigError

CLUSTER = Submission(
    program="/spark/bin/spark-submit",
    main="/site/sparkweave/__main__.py",
    arguments=("train", "hdfs:///a b.zip"),
    master="yarn",
    deploy_mode="cluster",
    environment="hdfs:///env.tar.gz",
    code="hdfs:///code.zip",
    jars="hdfs:///jars.zip",
    files=("/home/net.yaml", "/home/labels.yaml"),
    options={"num-executors": "4", "executor-memory": "1g"},
    conf={"spark.x": "y"},
    console="hdfs:///runs/1/transcript.json",
)
CLIENT = dataclasses.replace(CLUSTER, deploy_mode="client", files=())


def conf(submission: Submission) -> dict[str, str]:
    command = submission.command()
    pairs = (command[index + 1] for index, word in enumerate(command) if word == "--conf")
    return dict(pair.split("=", 1) for pair in pairs)


def option(submission: Submission, name: str) -> str | None:
    command = submission.command()
    return command[command.index(name) + 1] if name in command else None


def test_the_program_and_its_arguments_come_last() -> None:
    assert CLUSTER.command()[0] == "/spark/bin/spark-submit"
    assert CLUSTER.command()[-3:] == ["/site/sparkweave/__main__.py", "train", "hdfs:///a b.zip"]


def test_what_is_given_is_passed_on() -> None:
    assert option(CLUSTER, "--master") == "yarn"
    assert option(CLUSTER, "--deploy-mode") == "cluster"
    assert option(CLUSTER, "--num-executors") == "4"
    assert option(CLUSTER, "--executor-memory") == "1g"
    assert option(CLUSTER, "--files") == "/home/net.yaml,/home/labels.yaml"
    assert conf(CLUSTER)["spark.x"] == "y"


def test_the_environment_comes_with_its_python_and_the_code_before_it() -> None:
    assert option(CLUSTER, "--archives") == "hdfs:///env.tar.gz#environment,hdfs:///code.zip#code"
    settings = conf(CLUSTER)
    assert settings["spark.pyspark.python"] == "./environment/bin/python"
    assert settings["spark.executorEnv.PYTHONPATH"] == settings["spark.yarn.appMasterEnv.PYTHONPATH"] == "code"
    assert settings["spark.yarn.archive"] == "hdfs:///jars.zip"
    assert "spark.pyspark.driver.python" not in settings


def test_a_driver_here_runs_on_the_python_of_here() -> None:
    settings = conf(CLIENT)
    assert settings["spark.pyspark.driver.python"] == sys.executable
    assert "spark.yarn.appMasterEnv.PYTHONPATH" not in settings
    assert not any(CONSOLE_VARIABLE in name for name in settings)


def test_a_driver_in_the_cluster_is_told_where_to_print() -> None:
    assert conf(CLUSTER)[f"spark.yarn.appMasterEnv.{CONSOLE_VARIABLE}"] == "hdfs:///runs/1/transcript.json"


def test_a_gang_starts_together_and_a_second_driver_does_not_start_anew() -> None:
    settings = conf(CLUSTER)
    assert settings["spark.dynamicAllocation.enabled"] == "false"
    assert settings["spark.scheduler.minRegisteredResourcesRatio"] == "1.0"
    assert settings["spark.yarn.maxAppAttempts"] == "1"


def test_settings_that_are_given_win() -> None:
    given = dataclasses.replace(CLUSTER, conf={"spark.yarn.maxAppAttempts": "3", "spark.yarn.archive": "hdfs:///mine"})
    assert conf(given)["spark.yarn.maxAppAttempts"] == "3"
    assert conf(given)["spark.yarn.archive"] == "hdfs:///mine"


def test_nodes_with_a_python_of_their_own_get_no_archive() -> None:
    given = dataclasses.replace(CLUSTER, environment=None, code=None, python="/opt/python/bin/python3")
    assert option(given, "--archives") is None
    assert conf(given)["spark.pyspark.python"] == "/opt/python/bin/python3"
    assert "spark.executorEnv.PYTHONPATH" not in conf(given)


def test_yarns_settings_stay_out_of_other_clusters() -> None:
    standalone = dataclasses.replace(CLIENT, master="spark://host:7077", jars=None)
    assert not [name for name in conf(standalone) if name.startswith("spark.yarn")]


def test_on_kubernetes_the_image_is_set_and_the_driver_is_not_followed() -> None:
    given = dataclasses.replace(CLUSTER, master="k8s://https://host:6443", image="me/sparkweave:1", environment=None)
    assert conf(given)["spark.kubernetes.container.image"] == "me/sparkweave:1"
    assert not any(CONSOLE_VARIABLE in name for name in conf(given))
    assert (CLUSTER.is_followed, CLIENT.is_followed, given.is_followed) == (True, False, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"master": "yarn-cluster"}, "master is 'yarn-cluster'; give yarn, spark://"),
        ({"master": "spark://host:7077"}, "deploy mode cluster is for yarn and k8s://"),
        ({"conf": {"spark.dynamicAllocation.enabled": "true"}}, "leave the setting out, and give --num-executors"),
        ({"python": "/usr/bin/python3"}, "choose which"),
        ({"conf": {"spark.authenticate.secret": "x"}}, "put it into spark-defaults.conf"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CLUSTER, **changes)  # type: ignore[arg-type]


def test_what_is_printed_is_what_is_run() -> None:
    words = shlex.split(pasteable(CLUSTER.command(), {"HADOOP_CONF_DIR": "/etc/my hadoop"}).replace("\\\n", " "))
    assert words == ["HADOOP_CONF_DIR=/etc/my hadoop", *CLUSTER.command()]

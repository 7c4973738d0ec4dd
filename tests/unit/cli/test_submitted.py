"""The command that is submitted, made fit to run elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from sparkweave.cli.main import cli
from sparkweave.cli.submit import COMMANDS
from sparkweave.cli.submitted import Submitted, extras_of, fit_for_cluster, parse
from sparkweave.errors import ConfigError, DataError

TRAIN = ("train", "hdfs:///train.zip", "--output", "hdfs:///model.zip")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.zip", "b.zip", "net.yaml", "labels.yaml", "model.zip"):
        (tmp_path / name).write_text("x")
    return tmp_path


def upload(path: str) -> str:
    return f"hdfs:///up/{Path(path).name}"


def fitted(*arguments: str, cluster: bool = True, uploads: bool = True) -> Submitted:
    context, command = parse(cli, arguments, COMMANDS)
    return fit_for_cluster(context, command, driver_in_cluster=cluster, upload=upload if uploads else None)


def test_a_command_whose_paths_are_all_on_hdfs_stays_as_it_is() -> None:
    found = fitted(*TRAIN, "--epochs", "3", uploads=False)
    assert found.arguments == (*TRAIN, "--epochs", "3")
    assert found.files == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["train", "a.zip", "hdfs:///c.zip"], ["train", "hdfs:///up/a.zip", "hdfs:///c.zip"]),
        (["train", "*.zip", "--epochs", "3"],
         ["train", "hdfs:///up/a.zip", "hdfs:///up/b.zip", "hdfs:///up/model.zip", "--epochs", "3"]),
        (["train", "hdfs:///c.zip", "--test", "a.zip", "--test", "b.zip"],
         ["train", "hdfs:///c.zip", "--test", "hdfs:///up/a.zip", "--test", "hdfs:///up/b.zip"]),
        (["train", "hdfs:///c.zip", "--test=a.zip"], ["train", "hdfs:///c.zip", "--test", "hdfs:///up/a.zip"]),
        (["train", "file:/shared/c.zip"], ["train", "file:/shared/c.zip"]),
    ],
    ids=["archive", "glob", "options", "option with =", "shared folder"],
)  # fmt: skip
def test_archives_on_this_disk_are_uploaded_on_request(given: list[str], expected: list[str]) -> None:
    output = ["--output", "hdfs:///m.zip"]
    assert list(fitted(*given, *output).arguments) == [*expected, *output]


def test_without_that_they_are_refused_with_the_ways_out() -> None:
    with pytest.raises(ConfigError, match=r"a\.zip is on this machine's disk.*--upload.*write file:/.*a\.zip"):
        fitted("train", "a.zip", "--output", "hdfs:///m.zip", cluster=False, uploads=False)


def test_archives_that_are_not_there_are_missed_here() -> None:
    with pytest.raises(DataError, match=r"none\.zip"):
        fitted("train", "none.zip", "--output", "hdfs:///m.zip")


def test_files_that_options_name_come_along(folder: Path) -> None:
    (folder / "sub").mkdir()
    os.rename("net.yaml", "sub/net.yaml")
    found = fitted(*TRAIN, "--network", "sub/net.yaml", "--labels=labels.yaml")
    assert found.arguments == (*TRAIN, "--network", "net.yaml", "--labels", "labels.yaml")
    assert sorted(found.files) == [str(folder / "labels.yaml"), str(folder / "sub" / "net.yaml")]


def test_a_built_in_network_and_one_of_code_are_no_files() -> None:
    assert fitted(*TRAIN, "--network", "resnet").files == ()
    assert fitted(*TRAIN, "--network", "mynets:build").files == ()


def test_a_file_of_options_comes_along_with_the_files_that_it_names(folder: Path) -> None:
    (folder / "run.yaml").write_text("network: net.yaml\ntrain: a.zip\noutput: hdfs:///model.zip\nepochs: 3\n")
    found = fitted("train", "--config", "run.yaml")
    assert found.options["epochs"] == 3
    assert found.arguments == ("train", "--config", "run.yaml", "hdfs:///up/a.zip", "--network", "net.yaml")
    assert sorted(found.files) == [str(folder / "net.yaml"), str(folder / "run.yaml")]


def test_a_driver_here_reads_its_own_files() -> None:
    given = (*TRAIN, "--network", "net.yaml", "--checkpoint-dir", "here")
    found = fitted(*given, cluster=False)
    assert (found.arguments, found.files) == (given, ())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"input": "here"}, "--input is here, a folder on this machine's disk"),
        ({"output": "here"}, "--output is here, a path on the disk"),
        ({"checkpoint": "here"}, "--checkpoint is here, a path on the disk"),
    ],
)
def test_a_stream_is_between_places_that_all_machines_reach(changed: dict[str, str], said: str) -> None:
    places = {"source": "files", "input": "hdfs:///in", "output": "kafka://a:1/out", "checkpoint": "hdfs:///state"}
    given = ("stream", "hdfs:///models", *(f"--{name}={value}" for name, value in places.items()))
    assert fitted(*given).arguments == given
    with pytest.raises(ConfigError, match=said):
        fitted("stream", "hdfs:///models", *(f"--{name}={value}" for name, value in {**places, **changed}.items()))


@pytest.mark.parametrize("option", ["--output", "--checkpoint-dir", "--staging-dir"])
def test_outputs_on_a_nodes_disk_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"{option} is here/x, a path on the disk.*give an hdfs:// URL"):
        fitted("train", "hdfs:///a.zip", "--output", "hdfs:///m.zip", option, "here/x")


def test_event_files_on_a_nodes_disk_are_refused() -> None:
    given = ("train", "hdfs:///a.zip", "--output", "hdfs:///m.zip", "--tensorboard")
    with pytest.raises(ConfigError, match=r"--tensorboard is runs/x, .*--deploy-mode client, or write file:runs/x"):
        fitted(*given, "runs/x")
    assert fitted(*given, "file:/shared/x").arguments == (*given, "file:/shared/x")
    assert fitted(*given, "runs/x", cluster=False).arguments == (*given, "runs/x")


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "model.zip", "hdfs:///a.zip", "--output", "out"),
        ("train", "hdfs:///a.zip", "--output", "m.zip", "--staging", "export"),
        ("train", "hdfs:///a.zip", "--output", "m.zip", "--staging", "export", "--staging-dir", "here"),
    ],
)
def test_what_executors_write_must_not_be_on_their_own_disks(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="hdfs://"):
        fitted(*arguments, cluster=False)


def test_the_model_of_a_driver_here_may_be_on_this_disk() -> None:
    given = ("train", "hdfs:///a.zip", "--output", "m.zip")
    assert fitted(*given, cluster=False).arguments == given


def test_a_path_that_reads_like_something_else_is_not_taken_for_it(folder: Path) -> None:
    (folder / "train").mkdir()
    (folder / "train" / "c.zip").write_text("x")
    output = ("--output", "hdfs:///m.zip")
    assert fitted("train", "train", *output).arguments == ("train", "hdfs:///up/c.zip", *output)
    both = fitted("train", "--test", "a.zip", "a.zip", *output).arguments
    assert both == ("train", "--test", "hdfs:///up/a.zip", "hdfs:///up/a.zip", *output)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "x.yaml").write_text("x")
    with pytest.raises(ConfigError, match="have one name"):
        fitted(*TRAIN, "--network", "one/x.yaml", "--labels", "two/x.yaml")


def test_a_model_is_uploaded_for_a_driver_in_the_cluster() -> None:
    given = ("evaluate", "model.zip", "hdfs:///test.zip")
    assert fitted(*given).arguments == ("evaluate", "hdfs:///up/model.zip", "hdfs:///test.zip")
    assert fitted(*given, cluster=False).arguments == given
    with pytest.raises(ConfigError, match=r"model\.zip is on this machine's disk"):
        fitted(*given, uploads=False)


def test_the_sparks_options_belong_before_the_dashes() -> None:
    with pytest.raises(ConfigError, match=r"--master stands after --.* it is the submission's: put it before --"):
        fitted(*TRAIN, "--master", "yarn")


def test_nor_may_they_stand_in_the_commands_file(folder: Path) -> None:
    (folder / "run.yaml").write_text("master: yarn\n")
    with pytest.raises(ConfigError, match="--master stands after --, or in the command's file of options"):
        fitted(*TRAIN, "--config", "run.yaml")


@pytest.mark.parametrize("arguments", [(), ("pack",), ("submit",), ("--epochs", "3")])
def test_only_what_runs_on_spark_is_submitted(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"give the command to submit.*train, evaluate, predict"):
        parse(cli, arguments, COMMANDS)


def test_wrong_options_are_refused_as_the_command_itself_would() -> None:
    with pytest.raises(click.UsageError, match="0 is not in the range"):
        parse(cli, (*TRAIN, "--epochs", "0"), COMMANDS)


STREAM = ("stream", "hdfs:///m", "--checkpoint", "hdfs:///state")
FROM_KAFKA = ("--source", "kafka", "--input", "kafka://a:1/in", "--output", "hdfs:///out")
TO_KAFKA = ("--source", "files", "--input", "hdfs:///in", "--output", "kafka://a:1/out")


@pytest.mark.parametrize(
    ("arguments", "in_cluster", "here"),
    [
        (TRAIN, [], []),
        ((*TRAIN, "--mlflow", "http://host:5000"), ["mlflow"], []),
        ((*TRAIN, "--tensorboard", "hdfs:///events"), ["tensorboard"], []),
        ((*STREAM, *FROM_KAFKA), ["kafka"], ["kafka"]),
        ((*STREAM, *TO_KAFKA), ["kafka"], ["kafka"]),
        ((*STREAM, "--source", "files", "--input", "hdfs:///in", "--output", "hdfs:///out"), [], []),
    ],
)
def test_extras_follow_from_the_command(
    arguments: tuple[str, ...], in_cluster: list[str], here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: True)
    _, command = parse(cli, arguments, COMMANDS)
    assert extras_of(command, driver_in_cluster=True) == in_cluster
    assert extras_of(command, driver_in_cluster=False) == here


def test_an_extra_that_is_not_installed_here_can_not_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    _, command = parse(cli, (*STREAM, *TO_KAFKA), COMMANDS)
    with pytest.raises(ConfigError, match=r"`stream` as it is submitted needs confluent_kafka.*sparkweave\[kafka\]"):
        extras_of(command, driver_in_cluster=True)

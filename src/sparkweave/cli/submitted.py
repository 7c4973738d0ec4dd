"""The command that is submitted: parsed here, so that a wrong option costs no submission, and made fit to run elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sparkweave.cli.options_file import CONFIG_KEY
from sparkweave.errors import ConfigError
from sparkweave.extras import require_extra
from sparkweave.filesystem import is_local, local_archives, local_path

Upload = Callable[[str], str]
"""Brings a local file to the cluster, and returns its URL there."""

_SUBMITTED_BY_SPARK = ("master", "conf")
_INPUTS = ("train", "test", "input")
_OUTPUTS = ("output", "checkpoint", "checkpoint_dir", "staging_dir")
_FILES = ("labels", "network", "config")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submitted:
    """A command as Spark is to run it.

    Attributes:
        name: The subcommand.
        options: Its options and arguments by parameter name, as parsed.
        arguments: What the driver gets, without the program's name.
        files: Local files that have to be in the driver's folder.
    """

    name: str
    options: dict[str, Any]
    arguments: tuple[str, ...]
    files: tuple[str, ...] = ()


def parse(cli: click.Group, arguments: Iterable[str], allowed: Iterable[str]) -> tuple[click.Context, Submitted]:
    """Parses what follows ``--``.

    Raises:
        ConfigError: if it is no command that can be submitted, or has options that belong before ``--``.
        click.UsageError: what the command itself would say.
    """
    name, *rest = list(arguments) or [""]
    choices = tuple(allowed)
    if name not in choices:
        raise ConfigError(
            f"after -- comes {name!r}; give the command to submit and its options there: {', '.join(choices)}"
        )
    context = cli.commands[name].make_context(name, list(rest), parent=click.Context(cli, info_name="sparkweave"))
    for option in _SUBMITTED_BY_SPARK:
        if context.get_parameter_source(option) in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP):
            raise ConfigError(
                f"--{option} stands after --, or in the command's file of options; it is the submission's: put it before --"
            )
    return context, Submitted(name=name, options=dict(context.params), arguments=(name, *rest))


def fit_for_cluster(
    context: click.Context, command: Submitted, *, driver_in_cluster: bool, upload: Upload | None
) -> Submitted:
    """The command with what is on this machine's disk brought along, or refused. ``file:`` URLs are taken for shared folders.

    Args:
        context: Of the parsed command.
        command: What was parsed.
        driver_in_cluster: Whether the driver runs elsewhere: then files that it reads have to be shipped, and what it writes
            must not be on its own disk.
        upload: Brings archives and models to the cluster; None refuses those on the local disk.

    Raises:
        ConfigError: if a local path would not be there.
        DataError: if a local path stands for no archive.
    """
    _check_watched(command)
    moves = {
        name: _archives_moved(context, name, upload) for name in _INPUTS if isinstance(command.options.get(name), tuple)
    }
    _check_outputs(command, driver_in_cluster=driver_in_cluster)
    files: dict[str, Path] = {}
    if driver_in_cluster:
        if command.options.get("model"):
            moves["model"] = _model_moved(command.options["model"], upload)
        files = {name: path for name in _FILES if (path := _local_file(context, name)) is not None}
        _check_names(list(files.values()))
        moves |= {name: {str(_given(context, name)): [path.name]} for name, path in files.items()}
    name, *arguments = command.arguments
    for parameter, moved in moves.items():
        for given, there in moved.items():
            arguments = _replaced(context.command, arguments, _parameter(context, parameter), given, there)
    return dataclasses.replace(
        command, arguments=(name, *arguments), files=tuple(str(path.resolve()) for path in files.values())
    )


def extras_of(command: Submitted, *, driver_in_cluster: bool) -> list[str]:
    """The extras of this package that the command needs where it runs: executors speak to Kafka, the driver alone to the others.

    Raises:
        ConfigError: if this Python, which is packed, lacks one.
    """
    options = command.options
    with_kafka = options.get("source") == "kafka" or str(options.get("output", "")).startswith("kafka://")
    needed = [("kafka", "confluent_kafka", command.name == "stream" and with_kafka)]
    needed += [(name, name, driver_in_cluster and bool(options.get(name))) for name in ("mlflow", "tensorboard")]
    extras = [(extra, module) for extra, module, is_needed in needed if is_needed]
    for extra, module in extras:
        require_extra(extra, module, what=f"`{command.name}` as it is submitted")
    return [extra for extra, _ in extras]


def _archives_moved(context: click.Context, name: str, upload: Upload | None) -> dict[str, list[str]]:
    moved = {}
    for path in context.params[name]:
        if not _is_on_this_disk(path):
            continue
        archives = local_archives(path)
        if upload is None:
            raise ConfigError(
                f"{path} is on this machine's disk, where the cluster can't read it; put it on HDFS and give its hdfs:// URL,"
                " or --upload. If all machines mount this folder, write file:" + archives[0]
            )
        moved[path] = [upload(archive) for archive in archives]
    return moved


def _model_moved(path: str, upload: Upload | None) -> dict[str, list[str]]:
    if not _is_on_this_disk(path):
        return {}
    if upload is None or not Path(path).is_file():
        raise ConfigError(
            f"{path} is on this machine's disk, where a driver in the cluster can't read it; put it on HDFS and give its"
            " hdfs:// URL, or use --deploy-mode client. --upload brings a model that is one .zip"
        )
    return {path: [upload(path)]}


def _check_outputs(command: Submitted, *, driver_in_cluster: bool) -> None:
    """A folder that Spark writes is written by the executors, each on the disk of its node; all else by the driver."""
    options = command.options
    for name in _OUTPUTS:
        path = options.get(name)
        by_executors = name == "staging_dir" or (name == "output" and command.name in ("predict", "stream"))
        if path and _is_on_this_disk(path) and (driver_in_cluster or by_executors):
            raise ConfigError(
                f"--{name.replace('_', '-')} is {path}, a path on the disk of whichever machine writes it: it would be lost;"
                f" give an hdfs:// URL{'' if by_executors else ', or use --deploy-mode client'}"
            )
    events = options.get("tensorboard")
    if events and driver_in_cluster and _is_on_this_disk(events):
        raise ConfigError(
            f"--tensorboard is {events}, a path on the disk of whichever machine the driver runs on: it would be lost; use"
            f" --deploy-mode client, or write file:{events} if that is a folder that all machines mount"
        )
    exports_beside = options.get("staging") == "export" and not options.get("staging_dir")
    if exports_beside and _is_on_this_disk(options["output"]):
        raise ConfigError(
            "--staging export writes beside the model, each executor on its own disk; give --staging-dir an hdfs:// URL"
        )


def _check_watched(command: Submitted) -> None:
    """A folder that is watched has to be where all machines see what is put into it."""
    if command.name == "stream" and _is_on_this_disk(command.options["input"]):
        raise ConfigError(
            f"--input is {command.options['input']}, a folder on this machine's disk, where the cluster can't read it; give an"
            " hdfs:// URL or a Kafka topic"
        )


def _check_names(files: list[Path]) -> None:
    names = [path.name for path in files]
    if doubled := [path for path in files if names.count(path.name) > 1]:
        raise ConfigError(
            f"{' and '.join(map(str, doubled))} have one name, and come to the driver's folder under it: rename one of them"
        )


def _local_file(context: click.Context, name: str) -> Path | None:
    """The file that an option names, if it names one."""
    given = _given(context, name)
    if given is None:
        return None
    path = Path(given)
    if name == "config" or path.is_file():
        return path
    return None


def _given(context: click.Context, name: str) -> str | None:
    value = context.meta.get(CONFIG_KEY) if name == "config" else context.params.get(name)
    return None if value is None else str(value)


def _is_on_this_disk(path: str) -> bool:
    return is_local(path) and local_path(path) == path


def _parameter(context: click.Context, name: str) -> click.Parameter:
    return next(parameter for parameter in context.command.params if parameter.name == name)


def _replaced(
    command: click.Command, arguments: list[str], parameter: click.Parameter, given: str, there: list[str]
) -> list[str]:
    """The arguments with ``there`` for ``given``; what came from a file of options is added, since the command line wins."""
    result: list[str] = []
    found = False
    for owner, words, value in _parts(command, arguments):
        is_meant = owner is parameter if isinstance(parameter, click.Option) else owner is None and not found
        if value == given and is_meant:
            result += _spelled(parameter, there)
            found = True
        else:
            result += words
    return result if found else [*result, *_spelled(parameter, there)]


def _parts(command: click.Command, arguments: list[str]) -> Iterator[tuple[click.Option | None, list[str], str | None]]:
    """The arguments cut into options with their values, and the rest one by one: the option, the words, the value."""
    options = {
        name: option
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    waiting = iter(arguments)
    for word in waiting:
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is None:
            yield None, [word], word
        elif equals:
            yield option, [word], value
        elif option.is_flag:
            yield option, [word], None
        else:
            value = next(waiting)
            yield option, [word, value], value


def _spelled(parameter: click.Parameter, values: list[str]) -> list[str]:
    if not isinstance(parameter, click.Option):
        return values
    return [word for value in values for word in (parameter.opts[0], value)]

"""The command that is submitted: parsed here, so that a wrong option costs no submission, and made fit to run elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sparkweave.cli.options_file import CONFIG_KEY
from sparkweave.errors import ConfigError
from sparkweave.filesystem import is_local, local_archives, local_path

Upload = Callable[[str], str]
"""Brings a local file to the cluster, and returns its URL there."""

_SUBMITTED_BY_SPARK = ("master", "conf")
_INPUTS = ("train", "test", "input")
_OUTPUTS = ("output", "checkpoint_dir", "staging_dir")
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
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{option} stands after --; it is the submission's: put it before --")
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
    moves = {name: _archives_moved(context, name, upload) for name in _INPUTS if command.options.get(name)}
    files: dict[str, Path] = {}
    if driver_in_cluster:
        _check_outputs(command.options)
        if command.options.get("model"):
            moves["model"] = _model_moved(command.options["model"], upload)
        files = {name: path for name in _FILES if (path := _local_file(context, name)) is not None}
        moves |= {name: {str(_given(context, name)): [path.name]} for name, path in files.items()}
    arguments = list(command.arguments)
    for name, moved in moves.items():
        for given, there in moved.items():
            arguments = _replaced(arguments, _parameter(context, name), given, there)
    return dataclasses.replace(
        command, arguments=tuple(arguments), files=tuple(str(path.resolve()) for path in files.values())
    )


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


def _check_outputs(options: dict[str, Any]) -> None:
    for name in _OUTPUTS:
        path = options.get(name)
        if path and _is_on_this_disk(path):
            raise ConfigError(
                f"--{name.replace('_', '-')} is {path}, a path on the disk of whichever machine the driver runs on: it would be"
                " lost; give an hdfs:// URL, or use --deploy-mode client"
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


def _replaced(arguments: list[str], parameter: click.Parameter, given: str, there: list[str]) -> list[str]:
    """The arguments with ``there`` for ``given``; what came from a file of options is added, since the command line wins."""
    options = parameter.opts if isinstance(parameter, click.Option) else []
    result: list[str] = []
    found = False
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if not options and argument == given and not found:
            result += there
        elif options and argument == given and arguments[position - 1] in options:
            result = [*result[:-1], *_spelled(parameter, there)]
        elif equals and name in options and value == given:
            result += _spelled(parameter, there)
        else:
            result.append(argument)
            continue
        found = True
    return result if found else [*result, *_spelled(parameter, there)]


def _spelled(parameter: click.Parameter, values: list[str]) -> list[str]:
    if not isinstance(parameter, click.Option):
        return values
    return [word for value in values for word in (parameter.opts[0], value)]

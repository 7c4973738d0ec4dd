"""Types of options, and the options that several commands have."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
import yaml

from sparkweave.cli.options_file import config_option
from sparkweave.deploy.memory_size import parse_size
from sparkweave.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

_SIZE = re.compile(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})")


class Number(click.ParamType):  # type: ignore[type-arg]
    """A finite number within bounds; NaN and infinity are refused by name."""

    name = "number"

    def __init__(
        self, *, above: float | None = None, at_least: float | None = None, below: float | None = None
    ) -> None:
        self._above, self._at_least, self._below = above, at_least, below

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that ``value`` stands for."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        rules = []
        if self._above is not None and number <= self._above:
            rules.append(f"greater than {self._above:g}")
        if self._at_least is not None and number < self._at_least:
            rules.append(f"at least {self._at_least:g}")
        if self._below is not None and number >= self._below:
            rules.append(f"less than {self._below:g}")
        if rules:
            self.fail(f"{value} is refused; it must be {' and '.join(rules)}.", param, ctx)
        return number


class ImageSize(click.ParamType):  # type: ignore[type-arg]
    """Height and width: ``28x28``."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(height, width) in pixels."""
        if isinstance(value, tuple):
            return value
        match = _SIZE.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a height and a width, such as 28x28.", param, ctx)
        return int(match[1]), int(match[2])


class Setting(click.ParamType):  # type: ignore[type-arg]
    """``name=value``."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """(name, value)."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form NAME=VALUE.", param, ctx)
        return name.strip(), text


class MemorySize(click.ParamType):  # type: ignore[type-arg]
    """Bytes: ``2g``, ``512m``."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes that ``value`` stands for; a bare number counts MiB, as in Spark's settings."""
        if isinstance(value, int):
            return value
        try:
            size = parse_size(value)
        except ConfigError:
            size = 0
        if size == 0:
            self.fail(f"{value!r} is not an amount of memory, such as 512m or 2g.", param, ctx)
        return size


AT_LEAST_ONE = click.IntRange(min=1)
AT_LEAST_ZERO = click.IntRange(min=0)
FRACTION = Number(at_least=0, below=1)
POSITIVE = Number(above=0)


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """`click.option` that shows its default in the help."""
    decorate: Callable[[Command], Command] = click.option(*names, show_default=True, **settings)
    return decorate


def common_options(command: Command) -> Command:
    """Adds what every command on images has: ``--max-bad-fraction``, and `session_options`."""
    add: Callable[[Command], Command] = option(
        "--max-bad-fraction", type=FRACTION, default=0.0, help="Share of unusable images that is left out, not refused."
    )
    return add(session_options(command))


def session_options(command: Command) -> Command:
    """Adds what every command with a session has: its options, ``--config``, ``--json`` and ``--debug``."""
    added = [
        option("--master", metavar="URL", help="Spark's master; without it spark-submit's, or local[*]."),
        option("--conf", type=Setting(), multiple=True, help="A Spark setting; may be repeated."),
        option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, everything else on stderr."),
        option("--debug", is_flag=True, help="Show Spark's log and the traceback of an error."),
    ]
    decorated: Command = functools.reduce(lambda inner, add: add(inner), reversed(added), config_option(command))
    return decorated


def allow_code_option(command: Command) -> Command:
    """Adds ``--allow-code``, for commands that load a model."""
    add: Callable[[Command], Command] = option(
        "--allow-code", is_flag=True, help="Import the Python module that builds the model's network, if it names one."
    )
    return add(command)


def values(settings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """``NAME=VALUE`` options with their values as numbers, true/false or text, as YAML reads them."""
    return {name: _value(text) for name, text in settings}


def _value(text: str) -> Any:
    try:
        return float(text) if re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", text) else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def session_conf(conf: Sequence[tuple[str, str]], *, debug: bool) -> Mapping[str, str]:
    """Spark settings of the command; ``--debug`` turns Spark's log on."""
    return {**({"spark.log.level": "WARN"} if debug else {}), **dict(conf)}

"""``--config FILE.yaml``: a file in which any option of a command can stand. Options on the command line win."""

from __future__ import annotations

import difflib
from typing import Any

import click

from sparkweave.errors import ConfigError
from sparkweave.strict_yaml import read_yaml

CONFIG_KEY = "sparkweave.config"
"""Where a context keeps the path of the file that was read."""

_NOT_IN_A_FILE = ("config", "help", "debug")


def config_option(command: Any) -> Any:
    """Adds ``--config`` to a command; it is read before all other options."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_load,
        help="YAML file in which any option can stand; options given here win.",
    )(command)


def _load(context: click.Context, _parameter: click.Parameter, path: str | None) -> None:
    if path is not None:
        context.meta[CONFIG_KEY] = path
        context.default_map = {**(context.default_map or {}), **read_options(path, context.command)}


def read_options(path: str, command: click.Command) -> dict[str, Any]:
    """The options in the file, as text that the command line's own rules then check.

    Raises:
        ConfigError: if the file can't be read, is no mapping, or has an option that the command does not know.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {_kind(content)}; it must be a mapping of options, such as `epochs: 10`")
    known = {name: parameter for parameter in command.params if (name := _key(parameter)) not in _NOT_IN_A_FILE}
    options = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise ConfigError(_unknown(path, str(key), list(known)))
        options[str(known[name].name)] = _as_given(f"{path}: {key}", known[name], value)
    return options


def _key(parameter: click.Parameter) -> str:
    """What the option is called in a file: ``learning_rate`` for ``--learning-rate``."""
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def _unknown(path: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key.replace("-", "_"), known, n=2, cutoff=0.6)
    names = [name.replace("_", "-") for name in close or sorted(known)]
    hint = f"did you mean {' or '.join(map(repr, names))}?" if close else f"the options are {', '.join(names)}"
    return f"{path} has an unknown option {key!r}; {hint}"


def _as_given(where: str, parameter: click.Parameter, value: Any) -> Any:
    """``value`` as the command line would have it: text, or a list of texts where an option can be repeated."""
    if not (parameter.multiple or parameter.nargs == -1):
        return _scalar(where, parameter, value)
    if isinstance(value, dict):  # optimizer-option and conf read best as mappings
        return [f"{_text(where, name)}={_text(where, item)}" for name, item in value.items()]
    return [_text(where, item) for item in (value if isinstance(value, list) else [value])]


def _scalar(where: str, parameter: click.Parameter, value: Any) -> Any:
    if isinstance(parameter.type, click.types.BoolParamType):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {value!r}; it must be true or false")
        return value
    return _text(where, value)


def _text(where: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"{where} holds {_kind(value)}; one value is expected")


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), f"{value!r}")

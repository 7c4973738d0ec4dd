"""YAML files as plain data, read strictly: size capped, no tags that build objects, no key twice.

Differs from `yaml.safe_load` in two places where YAML 1.1 surprises: a repeated key is an error, not a silent
override, and ``1e-5`` is a number, not text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sparkweave.errors import ConfigError

MAX_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys and reads numbers as JSON does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping at ``node``; a ConstructorError names a key that comes twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text or a number", key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str, *, origin: str) -> Any:
    """The plain data (mappings, lists, text, numbers) that ``text`` stands for.

    Args:
        text: One YAML document.
        origin: What to call it in errors, usually its path.

    Raises:
        ConfigError: if it is over `MAX_BYTES` long, isn't YAML, repeats a key, or asks for other objects.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(f"{origin} is larger than {MAX_BYTES:,} bytes; a YAML file of options is far smaller")
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{origin} is not valid YAML: {_one_line(error)}") from error


def read_yaml(path: str | Path) -> Any:
    """The plain data in the YAML file at ``path``.

    Raises:
        ConfigError: if it can't be read as a UTF-8 text file, or breaks a rule of `parse_yaml`.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return parse_yaml(content.decode(), origin=str(path))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}; give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text, so it can't be a YAML file: {error}") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
    return " ".join(str(error).split()) or type(error).__name__

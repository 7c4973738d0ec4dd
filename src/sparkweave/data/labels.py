"""Labels: taken from file names, put in an order, and named for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import yaml

from sparkweave.errors import ConfigError, LabelError

MOST_INDEXES = 10_000
"""Of classes, where labels are indexes: a larger one is taken for a mistake."""

_INTEGER = re.compile(r"[0-9]+\Z")


def label_of(entry_name: str) -> str:
    """The part of the file name before the first ``_``, folders left out.

    >>> label_of("train/9_0993.png")
    '9'

    Raises:
        LabelError: if there is no such part.
    """
    file = entry_name.rpartition("/")[2].rpartition("\\")[2]
    label, mark, _ = file.partition("_")
    if not mark or not label or label.isspace():
        raise LabelError(f"{file!r} has no label; name images LABEL_ANYTHING.png, such as 9_0993.png")
    return label


def order_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels in the order of their class indexes: by number if all are whole numbers, else by code point.

    >>> order_labels({"10", "9", "1"}), order_labels({"10", "9", "cat"})
    (('1', '9', '10'), ('10', '9', 'cat'))
    """
    distinct = set(labels)
    if all(_INTEGER.match(label) for label in distinct):
        return tuple(sorted(distinct, key=_by_number))
    return tuple(sorted(distinct))


def _by_number(digits: str) -> tuple[int, str, str]:
    """Orders as the numbers would, which may be too long for `int`."""
    plain = digits.lstrip("0")
    return len(plain), plain, digits


def indexed(labels: Iterable[str]) -> tuple[str, ...]:
    """All indexes up to the largest of ``labels``.

    >>> indexed({"0", "3"})
    ('0', '1', '2', '3')

    Raises:
        LabelError: if one is no index, or is larger than `MOST_INDEXES`.
    """
    found = list(labels)
    largest = _by_number(str(MOST_INDEXES - 1))
    if bad := [label for label in found if not _INTEGER.match(label) or _by_number(label)[:2] > largest[:2]]:
        listed = ", ".join(f"{label!r:.40}" for label in sorted(bad)[:20])
        raise LabelError(
            f"{len(bad)} labels are no indexes of classes: {listed}; give whole numbers from 0 to {MOST_INDEXES - 1:,}, or text"
        )
    return tuple(str(index) for index in range(max(map(int, found)) + 1))


def read_class_names(path: str) -> dict[str, str]:
    """Reads a YAML or JSON file that maps each label to the name of its class.

    Raises:
        ConfigError: if it can't be read, is no such mapping, has a label twice or an empty name.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        pairs = _json_pairs(text) if path.lower().endswith(".json") else _yaml_pairs(text)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror or error}); give a YAML or JSON file") from error
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: neither YAML nor JSON in UTF-8 ({_one_line(error)})") from error
    names: dict[str, str] = {}
    for label, name in pairs or ():
        _add_pair(path, label, name, names)
    if not names:
        raise ConfigError(
            f"{path}: no mapping of labels to class names; write one 'label: name' a line, such as '9: ankle boot'"
        )
    return names


def _add_pair(path: str, label: object, name: object, names: dict[str, str]) -> None:
    if not isinstance(label, str) or not isinstance(name, str):
        raise ConfigError(f"{path}: {label!r}: {name!r} is not one label and one name; write 'label: name'")
    if label in names:
        raise ConfigError(f"{path}: the label {label!r} is there twice, as {names[label]!r} and {name!r}; remove one")
    if not label.strip() or not name.strip():
        raise ConfigError(f"{path}: the label {label!r} has the name {name!r}; neither may be empty")
    names[label] = name


def _json_pairs(text: str) -> list[tuple[object, object]] | None:
    parsed = json.loads(text, object_pairs_hook=_Pairs)
    return parsed if isinstance(parsed, _Pairs) else None


def _yaml_pairs(text: str) -> list[tuple[object, object]] | None:
    # The base loader keeps scalars as they are written: '0', 'no' and '1e3' are labels, not numbers or truth values.
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    if not isinstance(node, yaml.MappingNode):
        return None
    return [(_scalar(key), _scalar(value)) for key, value in node.value]


def _scalar(node: yaml.Node) -> object:
    return node.value if isinstance(node, yaml.ScalarNode) else _Nested()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Nested:
    """Stands for a list or mapping where a label or name belongs."""

    def __repr__(self) -> str:
        return "(a list or mapping)"


class _Pairs(list[tuple[object, object]]):
    """A JSON object that keeps repeated keys."""

"""YAML read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.errors import ConfigError
from sparkweave.strict_yaml import MAX_BYTES, parse_yaml, read_yaml


def test_plain_data_is_read() -> None:
    assert parse_yaml("a: [1, 2.5, text, true, null]\nb: {c: d}", origin="x") == {
        "a": [1, 2.5, "text", True, None],
        "b": {"c": "d"},
    }


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.e-5", "1.0e-05", "+1e-5"])
def test_scientific_notation_is_a_number(text: str) -> None:
    assert parse_yaml(f"eps: {text}", origin="x") == {"eps": 1e-5}


def test_merge_keys_still_work() -> None:
    text = "a: &a {x: 1}\nb: {<<: *a, x: 2, y: 3}"
    assert parse_yaml(text, origin="x")["b"] == {"x": 2, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x is not valid YAML: line 2, column 1: the key 'a' comes twice"),
        ("- {b: {a: 1, a: 2}}", "'a' comes twice"),
        ("a: [1", "line 1, column"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("--- 1\n--- 2", "line 2, column 1: but found another document"),
        ("a: 2026-13-45", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("? [a]\n: 1", "a key must be text or a number"),
        ("[" * 10_000, "not valid YAML"),
        ("a" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
    ],
)
def test_what_is_not_strict_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, origin="x")


def test_files_are_read_with_their_path_in_every_error(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"a\.yaml is not UTF-8 text"):
        read_yaml(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"a\.yaml is larger than"):
        read_yaml(path)
    with pytest.raises(ConfigError, match=r"can't read .*: Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match=r"can't read .*b\.yaml: No such file"):
        read_yaml(tmp_path / "b.yaml")

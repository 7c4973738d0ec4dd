from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.data.labels import indexed, label_of, order_labels, read_class_names
from sparkweave.errors import ConfigError, LabelError


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("9_0993.png", "9"),
        ("cat_1_2.jpg", "cat"),
        ("train/7/3_a.png", "3"),
        ("x_y/3_a.png", "3"),
        ("dir\\4_a.png", "4"),
        ("/data/a_b.zip!/5_x.png", "5"),
        ("ankle boot_1.png", "ankle boot"),
        ("größe_1.png", "größe"),
    ],
)
def test_the_label_is_what_comes_before_the_first_underscore(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize("name", ["0993.png", "_0993.png", "a_b/0993.png", "  _1.png", ""])
def test_a_name_without_a_label_is_an_error_that_shows_the_form(name: str) -> None:
    with pytest.raises(LabelError, match=r"has no label; name images LABEL_ANYTHING\.png"):
        label_of(name)


def test_numeric_labels_are_ordered_by_number_and_others_by_text() -> None:
    assert order_labels(["10", "9", "1", "9"]) == ("1", "9", "10")
    assert order_labels(["10", "9", "-1"]) == ("-1", "10", "9")
    assert order_labels(["b", "a", "10"]) == ("10", "a", "b")
    assert order_labels(["01", "1", "0"]) == ("0", "01", "1")
    assert order_labels(["9" * 5000, "1" + "0" * 5000, "2"]) == ("2", "9" * 5000, "1" + "0" * 5000)


@pytest.mark.parametrize("label", ["10000", "9" * 5000, "-1", "a", ""])
def test_indexes_are_whole_numbers_and_not_too_large(label: str) -> None:
    with pytest.raises(
        LabelError, match=r"1 labels are no indexes of classes: .*; give whole numbers from 0 to 9,999"
    ) as caught:
        indexed(["0", label, "000000000009999"])
    assert len(str(caught.value)) < 200
    assert len(indexed(["0", "000000000009999"])) == 10_000


@given(st.sets(st.integers(0, 10**9)), st.randoms())
def test_the_order_does_not_depend_on_the_order_given(numbers: set[int], shuffle: object) -> None:
    labels = [str(number) for number in numbers]
    shuffle.shuffle(labels)  # type: ignore[attr-defined]
    assert order_labels(labels) == tuple(map(str, sorted(numbers)))


@pytest.mark.parametrize(
    ("file", "text"),
    [("n.yaml", "9: ankle boot\n0: no\nno: 1e3\n"), ("n.json", '{"9": "ankle boot", "0": "no", "no": "1e3"}')],
)
def test_class_names_stay_text_as_written(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert read_class_names(str(tmp_path / file)) == {"9": "ankle boot", "0": "no", "no": "1e3"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no mapping"),
        ("- a\n- b", "no mapping"),
        ("{}", "no mapping"),
        ("9: a\n9: b", "'9' is there twice, as 'a' and 'b'"),
        ("9: [a, b]", "not one label and one name"),
        ("9:", "neither may be empty"),
        ("9: {a: b", "neither YAML nor JSON"),
        ("? {a: b}\n: c", "not one label and one name"),
        ("9: !!python/object/apply:os.system [ls]", "not one label and one name"),
    ],
)
@pytest.mark.parametrize("ending", [".yaml"])
def test_a_malformed_file_is_an_error_that_names_it(tmp_path: Path, text: str, says: str, ending: str) -> None:
    path = tmp_path / f"names{ending}"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_class_names(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"9": "a", "9": "b"}', "there twice"),
        (b'{"9": 1}', "not one label and one name"),
        (b'{"9": "a"', "neither YAML nor JSON"),
        (b"[1]", "no mapping"),
        (b"\xff\xfe", "neither YAML nor JSON"),
    ],
)
def test_a_malformed_json_file_is_an_error(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_class_names(str(path))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be read \(No such file"):
        read_class_names(str(tmp_path / "none.yaml"))

"""Events as plain data."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sparkweave.events import KINDS, Event, from_record, to_record

VALUES = {"int": 3, "float": 0.25, "float | None": 0.5, "str": "text", "tuple[str, ...]": ("one", "two")}


def make(kind: type[Event]) -> Event:
    return kind(**{field.name: VALUES[str(field.type)] for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("name", KINDS)
def test_an_event_survives_as_a_line_of_json(name: str) -> None:
    event = make(KINDS[name])
    record = to_record(event)
    assert record["event"] == name
    assert from_record(json.loads(json.dumps(record))) == event


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        from_record({"event": "unknown"})


@pytest.mark.parametrize("change", [{"extra": 1}, {"epoch": None}], ids=["unknown", "missing"])
def test_a_field_too_many_or_too_few_is_an_error(change: dict[str, int | None]) -> None:
    record = {**to_record(make(KINDS["evaluation"])), **change}
    with pytest.raises(TypeError):
        from_record({name: value for name, value in record.items() if value is not None})


def test_reading_a_record_leaves_it_as_it_was() -> None:
    record = to_record(make(KINDS["run_ended"]))
    before = dict(record)
    from_record(record)
    assert record == before

"""Measurements as JSON lines, written as they come, so that a long run can be collected early and taken up again."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """One file of measurements; ``resume`` takes those that are in it already instead of measuring them again."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if resume and path.exists() else []
        self._known = [json.loads(line) for line in lines]

    def take(self, key: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The result recorded under ``key``, or a new one, which is recorded at once."""
        key = json.loads(json.dumps(key))
        for record in self._known:
            if record["key"] == key:
                return dict(record["result"])
        result = dict(measure())
        date = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        with self._path.open("a") as file:
            file.write(json.dumps({"date": date, "key": key, "result": result}) + "\n")
        return result

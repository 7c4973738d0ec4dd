from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparkweave.artifacts.storage import LOCAL
from sparkweave.errors import ArtifactError
from sparkweave.spark.streaming.file_log import files_of_batch


def write(folder: Path, *, offsets: dict[int, int], logs: dict[str, list[int]], version: str = "v1") -> str:
    for kind in ("offsets", "sources/0"):
        (folder / kind).mkdir(parents=True)
    for batch, offset in offsets.items():
        (folder / "offsets" / str(batch)).write_text(f'v1\n{{}}\n{{"logOffset":{offset}}}')
    for name, numbers in logs.items():
        lines = [
            json.dumps({"path": f"file:///in/a%20{number}.png", "timestamp": 1, "batchId": number})
            for number in numbers
        ]
        (folder / "sources/0" / name).write_text("\n".join([version, *lines]))
    return str(folder)


def test_a_batch_has_the_files_since_the_one_before(tmp_path: Path) -> None:
    log = write(tmp_path, offsets={0: 0, 1: 2}, logs={"0": [0], "1": [1, 1], "2": [2]})
    assert files_of_batch(log, 0, LOCAL) == ["file:///in/a 0.png"]
    assert files_of_batch(log, 1, LOCAL) == ["file:///in/a 1.png", "file:///in/a 1.png", "file:///in/a 2.png"]


def test_a_compacted_log_names_all_batches(tmp_path: Path) -> None:
    log = write(tmp_path, offsets={8: 8, 9: 9}, logs={"9.compact": [0, 8, 9]})
    assert files_of_batch(log, 9, LOCAL) == ["file:///in/a 9.png"]


@pytest.mark.parametrize("broken", [{"offsets": {}}, {"logs": {}}, {"version": "v2"}])
def test_another_log_is_an_error(tmp_path: Path, broken: dict[str, object]) -> None:
    log = write(tmp_path, **{"offsets": {0: 0}, "logs": {"0": [0]}, **broken})  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="has no usable log of batch 0"):
        files_of_batch(log, 0, LOCAL)

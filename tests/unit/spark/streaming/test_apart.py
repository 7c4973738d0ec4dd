from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.errors import ConfigError
from sparkweave.spark.streaming.apart import require_apart


@pytest.mark.parametrize(
    ("source", "output", "relation"),
    [
        ("in", "in", "is the same"),
        ("in", "in/", "is the same"),
        ("in", "file:///HERE/in", "is the same"),
        ("in", "in/out", "holds it"),
        ("in", "other/../in/a/out", "holds it"),
        ("file:/HERE/in", "link/out", "holds it"),
        ("link", "in/out", "holds it"),
        ("out/batch_id=0", "out", "lies in it"),
        ("hdfs://h/in", "hdfs://h/in/out", "holds it"),
        ("hdfs://h/in/", "hdfs://H:8020/in//out", "holds it"),
        ("hdfs:///in", "hdfs:///in/a/../out", "holds it"),
        ("kafka://h:1/topic", "kafka://h:1/topic", "is the same"),
    ],
)
def test_a_stream_must_not_read_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str, relation: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    source, output = (url.replace("/HERE", str(tmp_path)) for url in (source, output))
    with pytest.raises(ConfigError, match="give output a place of its own") as caught:
        require_apart(source, output=output)
    assert str(caught.value).startswith(f"output is {output}, and the input {source} {relation}: ")
    with pytest.raises(ConfigError, match=r"^checkpoint is "):
        require_apart(source, output="/elsewhere", checkpoint=output)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("in", "in-out"),
        ("a/in", "a/out"),
        ("/in", "hdfs://h/in"),
        ("hdfs://h/in", "hdfs://h/input"),
        ("hdfs://h/in", "hdfs://other/in/out"),
        ("hdfs://h:1/in", "hdfs://h:2/in"),
        ("kafka://h:1/topic", "kafka://h:1/topics"),
        ("kafka://h:1/topic", "/topic"),
    ],
)
def test_places_beside_each_other(source: str, output: str) -> None:
    require_apart(source, output=output, checkpoint=f"{output}.checkpoint")

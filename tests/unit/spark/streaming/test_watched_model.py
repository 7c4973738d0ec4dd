from __future__ import annotations

import errno
import logging
import time
from pathlib import Path

import pytest
from tests.unit.inference.test_predictor import make_artifact

from sparkweave.artifacts.storage import LocalStorage
from sparkweave.errors import ArtifactError
from sparkweave.spark.streaming.watched_model import WatchedModel

OTHER = {"preprocessing": {"mean": [0.4], "deviation": [0.25]}}


@pytest.mark.parametrize("name", ["model.zip", "model"])
def test_a_model_saved_anew_is_taken(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    make_artifact().save(path)
    watched = WatchedModel(path)
    first = watched.current()
    assert watched.current() is first
    make_artifact(**OTHER).save(path, overwrite=True)
    second = watched.current()
    assert second.name != first.name
    assert second.model.config["preprocessing"]["mean"] == [0.4]


def test_the_highest_whole_version_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_artifact().save(str(tmp_path / "000009.zip"))
    (tmp_path / "000010.zip").write_bytes(b"no model")
    watched = WatchedModel(str(tmp_path))
    assert watched.current().name == "000009"
    make_artifact(**OTHER).save(str(tmp_path / "000011.zip"))
    assert watched.current().name == "000011"
    (tmp_path / "000012.zip").write_bytes(b"half of one")
    with caplog.at_level(logging.WARNING):
        assert [watched.current().name for _ in range(2)] == ["000011", "000011"]
    assert len([record for record in caplog.records if "000012.zip" in record.getMessage()]) == 1


def test_a_version_that_could_not_be_read_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact().save(str(tmp_path / "000001.zip"))
    watched = WatchedModel(str(tmp_path), retry_seconds=0.01)
    make_artifact(**OTHER).save(str(tmp_path / "000002.zip"))

    def fail(*_: object, **__: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "read", fail)
        for _ in range(3):
            assert watched.current().name == "000001"
            time.sleep(0.1)
    assert [r for r in caplog.messages if "Input/output error" in r] == caplog.messages[:1]
    assert watched.current().name == "000002"


def test_what_is_wrong_with_a_version_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_artifact().save(str(tmp_path / "000001.zip"))
    watched = WatchedModel(str(tmp_path), retry_seconds=0.01)
    (tmp_path / "000002.zip").write_bytes(b"no model")
    reads: list[object] = []
    read = LocalStorage.read

    def count(self: LocalStorage, path: str, *, limit: int) -> bytes:
        reads.append(path)
        return read(self, path, limit=limit)

    monkeypatch.setattr(LocalStorage, "read", count)
    for _ in range(3):
        assert watched.current().name == "000001"
        time.sleep(0.1)
    assert reads == [str(tmp_path / "000002.zip")]


def test_a_model_of_vectors_is_refused_where_images_come(tmp_path: Path) -> None:
    make_artifact().save(str(tmp_path / "000001.zip"))
    watched = WatchedModel(str(tmp_path))
    vectors = make_artifact(input_shape=[784], preprocessing={"mean": [0.0] * 784, "deviation": [1.0] * 784})
    vectors.save(str(tmp_path / "000002.zip"))
    assert watched.current().name == "000001"


def test_a_model_that_cannot_predict_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_artifact().save(str(tmp_path / "000001.zip"))
    watched = WatchedModel(str(tmp_path))
    make_artifact(labels=["0", "1"]).save(str(tmp_path / "000002.zip"))
    make_artifact(network={"name": "x", "factory": "somewhere:make"}).save(str(tmp_path / "3"))
    with caplog.at_level(logging.WARNING):
        assert watched.current().name == "000001"
    said = "".join(record.getMessage() for record in caplog.records)
    assert "the weights don't fit the network" in said
    assert "is user code" in said


def test_a_model_that_vanishes_goes_on(tmp_path: Path) -> None:
    make_artifact().save(str(tmp_path / "model.zip"))
    watched = WatchedModel(str(tmp_path / "model.zip"))
    first = watched.current()
    (tmp_path / "model.zip").unlink()
    assert watched.current() is first


def test_no_model_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no usable model"):
        WatchedModel(str(tmp_path / "nothing"))

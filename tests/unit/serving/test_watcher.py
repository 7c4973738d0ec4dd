"""A registry that is followed: what is new and fit is served, what isn't is refused while the old one serves on."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.serving.serving import make_artifact

from sparkweave.artifacts.storage import LocalStorage
from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.serving.limits import Limits
from sparkweave.serving.opening import Source, open_service
from sparkweave.serving.registry import Registry
from sparkweave.serving.service import Service

Open = Callable[..., Service]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(folder: Path) -> Registry:
    return Registry(str(folder))


def opened(folder: Path, **options: Any) -> Service:
    return open_service(Source(url=str(folder), **options), Limits(batch_images=4))


def served(service: Service) -> str | None:
    return service.model.version if service.model else None


def look(service: Service) -> bool:
    assert service.watcher is not None
    return service.watcher.look()


def refused(service: Service) -> dict[str, str]:
    assert service.watcher is not None
    return dict(service.watcher.refused)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_version_is_served_and_then_the_next(folder: Path, registry: Registry) -> None:
    for seed in (0, 1):
        registry.publish(make_artifact(seed))
    service = opened(folder)
    assert served(service) == "000002"
    assert not look(service)
    registry.publish(make_artifact(2))
    before = service.model
    assert look(service)
    assert served(service) == "000003"
    assert service.model is not before
    assert service.model is not None
    assert service.model.name == "models"


def test_an_empty_registry_is_waited_for(folder: Path, registry: Registry) -> None:
    service = opened(folder, name="digits")
    assert served(service) is None
    registry.publish(make_artifact())
    assert look(service)
    assert served(service) == "000001"


def test_a_corrupt_version_is_refused_once_and_the_old_one_serves_on(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.publish(make_artifact(0))
    service = opened(folder)
    registry.publish(make_artifact(1))
    flip(folder / "000002.zip")
    for _ in range(3):
        assert not look(service)
    assert served(service) == "000001"
    assert "was changed after it was written" in refused(service)["000002"]
    assert caplog.text.count("version 000002 is refused") == 1, "it is not read again and again"
    assert service.model is not None
    assert np.isfinite(service.model.predictor(np.zeros((1, 28, 28, 1), np.uint8))).all()
    registry.publish(make_artifact(2))
    assert look(service)
    assert (served(service), refused(service)) == ("000003", {})


def test_a_version_that_is_still_being_copied_is_looked_at_again(folder: Path, registry: Registry) -> None:
    registry.publish(make_artifact(0))
    service = opened(folder)
    whole = folder.parent / "whole.zip"
    make_artifact(1).save(str(whole))
    target = folder / "000002.zip"
    target.write_bytes(whole.read_bytes()[:50_000])
    assert not look(service)
    assert "000002" in refused(service)
    shutil.copyfile(whole, target)
    assert look(service)
    assert (served(service), refused(service)) == ("000002", {})


def test_a_version_that_could_not_be_read_is_tried_again(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(make_artifact(0))
    service = opened(folder, poll_seconds=0.01)
    registry.publish(make_artifact(1))

    def fail(*_: object, **__: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "read", fail)
        for _ in range(3):
            assert not look(service)
            time.sleep(0.1)
    assert "Input/output error" in refused(service)["000002"]
    assert caplog.text.count("version 000002 is refused") == 1
    assert look(service)
    assert (served(service), refused(service)) == ("000002", {})


def test_a_version_that_had_no_memory_is_tried_again(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(make_artifact(0))
    service = opened(folder, poll_seconds=0.01)
    registry.publish(make_artifact(1))

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("sparkweave.serving.model.try_out", fail)
        assert not look(service)
    time.sleep(0.1)
    assert look(service)


def test_behind_a_corrupt_version_the_one_before_is_taken(folder: Path, registry: Registry) -> None:
    for seed in range(3):
        registry.publish(make_artifact(seed))
    flip(folder / "000003.zip")
    service = opened(folder)
    assert served(service) == "000002"
    assert list(refused(service)) == ["000003"]
    (folder / "000003.zip").unlink()
    look(service)
    assert refused(service) == {}, "what is gone is not spoken of"


def strange(folder: Path, name: str) -> None:
    path = folder / "000002.zip"
    match name:
        case "an empty file":
            path.write_bytes(b"")
        case "a folder":
            path.mkdir()
        case "a link":
            path.symlink_to("000001.zip")
        case "user code":
            make_artifact(network={"name": "x", "factory": "os:system"}).save(str(path))
        case "no preprocessing":
            make_artifact(preprocessing={}).save(str(path))
        case "other weights":
            make_artifact(labels=["0", "1"]).save(str(path))
        case "not finite":
            artifact = make_artifact()
            for tensor in artifact.weights.values():
                torch.nn.init.constant_(tensor, float("nan"))
            artifact.save(str(path))


@pytest.mark.parametrize(
    "name",
    ["an empty file", "a folder", "a link", "user code", "no preprocessing", "other weights", "not finite"],
)
def test_what_is_not_fit_is_refused(folder: Path, registry: Registry, name: str) -> None:
    registry.publish(make_artifact())
    service = opened(folder)
    strange(folder, name)
    assert not look(service)
    assert served(service) == "000001"
    assert refused(service)["000002"]


def test_a_registry_that_can_t_be_read_is_said_and_read_again_later(
    folder: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.publish(make_artifact())
    service = opened(folder)
    assert service.watcher is not None
    folder.rename(folder.with_name("away"))
    for _ in range(2):
        assert not look(service)
    assert "no folder of versions is here" in str(service.watcher.unreachable)
    assert caplog.text.count("the registry can't be read") == 1
    assert served(service) == "000001"
    folder.with_name("away").rename(folder)
    registry.publish(make_artifact(1))
    assert look(service)
    assert service.watcher.unreachable is None


def test_a_model_is_served_as_it_is(tmp_path: Path) -> None:
    make_artifact().save(str(tmp_path / "my digits.zip"))
    service = opened(tmp_path / "my digits.zip")
    assert service.watcher is None
    assert service.model is not None
    assert (service.model.name, service.model.version) == ("my-digits", "1")


def test_what_can_t_be_served_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing is here"):
        opened(tmp_path / "none")
    make_artifact().save(str(tmp_path / "m.zip"))
    flip(tmp_path / "m.zip")
    with pytest.raises(ArtifactError, match="was changed"):
        opened(tmp_path / "m.zip")
    with pytest.raises(ConfigError, match=r"can't be called '\.\./x'"):
        opened(tmp_path / "m.zip", name="../x")
    with pytest.raises(ArtifactError, match=r"no NameNode answers at 127\.0\.0\.1:1 "):
        open_service(Source(url="hdfs://127.0.0.1:1/models"), Limits())
    with pytest.raises(ArtifactError, match="alone; copy it there"):
        open_service(Source(url="s3a://bucket/model"), Limits())

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.unit.serving.serving import make_artifact

from sparkweave.artifacts.storage import LOCAL
from sparkweave.errors import ArtifactError
from sparkweave.serving.registry import Registry, Version, is_registry
from sparkweave.testing.storage import WrappedStorage


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_versions_count_up_and_come_back(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"))
    published = [registry.publish(make_artifact(seed)) for seed in (0, 1)]
    assert [version.name for version in published] == ["000001", "000002"]
    assert registry.versions() == published
    assert names(tmp_path / "models") == ["000001.zip", "000002.zip"], "and no claims"
    for seed, version in enumerate(published):
        weights = registry.load(version).weights
        assert all((weights[name] == tensor).all() for name, tensor in make_artifact(seed).weights.items())


def test_the_optimizer_is_left_out(tmp_path: Path) -> None:
    import dataclasses

    artifact = dataclasses.replace(make_artifact(), optimizer={"state": {}, "param_groups": []})
    registry = Registry(str(tmp_path / "models"))
    assert registry.load(registry.publish(artifact)).optimizer is None


def test_folders_are_versions_and_other_names_are_not(tmp_path: Path) -> None:
    for name in ("7", "000005.zip", "latest", ".000009.claim", "12.tar", "x7.zip", "8.zip.zip"):
        (tmp_path / name).mkdir()
    registry = Registry(str(tmp_path))
    assert registry.versions() == [Version(number=5, file="000005.zip"), Version(number=7, file="7")]
    assert registry.publish(make_artifact()).number == 10, "a number that somebody claims is not taken"


def test_a_version_may_be_a_folder(tmp_path: Path) -> None:
    make_artifact().save(str(tmp_path / "3"))
    registry = Registry(str(tmp_path))
    (version,) = registry.versions()
    assert registry.load(version).config["labels"] == ["0", "1", "2"]
    assert b"sha256" in registry.seal(version)


def test_of_many_who_publish_at_once_each_gets_a_number(tmp_path: Path) -> None:
    numbers: list[int] = []

    def publish(seed: int) -> None:
        registry = Registry(str(tmp_path / "models"))
        numbers.extend(registry.publish(make_artifact(seed)).number for _ in range(3))

    threads = [threading.Thread(target=publish, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 13))
    assert len(names(tmp_path / "models")) == 12


class Meanwhile(WrappedStorage):
    """Somebody else publishes between the look at the folder and the claim."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._done = False

    def write(self, path: str, content: bytes) -> None:
        if not self._done and path.endswith(".claim"):
            self._done = True
            assert Registry(str(self._folder)).publish(make_artifact(5)).number == 1
        super().write(path, content)


def test_a_number_that_was_taken_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), storage=Meanwhile(tmp_path))
    assert registry.publish(make_artifact(6)).number == 2
    assert names(tmp_path) == ["000001.zip", "000002.zip"]
    name, tensor = next(iter(make_artifact(5).weights.items()))
    assert (registry.load(registry.versions()[0]).weights[name] == tensor).all()


class Corrupting(WrappedStorage):
    def write(self, path: str, content: bytes) -> None:
        flipped = bytearray(content)
        if len(flipped) > 10_000:
            flipped[9_999] ^= 1
        super().write(path, bytes(flipped))


def test_what_was_written_is_verified(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        Registry(str(tmp_path), storage=Corrupting()).publish(make_artifact())
    assert names(tmp_path) == []


def test_models_and_registries_are_told_apart(tmp_path: Path) -> None:
    make_artifact().save(str(tmp_path / "model"))
    make_artifact().save(str(tmp_path / "model.zip"))
    (tmp_path / "registry").mkdir()
    told = {name: is_registry(str(tmp_path / name), LOCAL) for name in ("model", "model.zip", "registry")}
    assert told == {"model": False, "model.zip": False, "registry": True}
    with pytest.raises(ArtifactError, match="nothing is here; give a saved model, or a registry"):
        is_registry(str(tmp_path / "none"), LOCAL)


def test_no_folder_of_versions(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no folder of versions is here"):
        Registry(str(tmp_path / "none")).versions()

"""A registry on HDFS: published to and served from without Spark and without Java."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.serving.serving import Client, make_artifact, make_png

from sparkweave.artifacts.native_storage import NativeStorage
from sparkweave.serving.limits import Limits
from sparkweave.serving.opening import Source, open_service
from sparkweave.serving.registry import Registry

if TYPE_CHECKING:
    from sparkweave.testing.hadoop import HadoopCluster

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def registry_url(hadoop: HadoopCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    path = f"/serving/{abs(hash(request.node.nodeid)):x}"
    yield hadoop.uri(path)
    hadoop.file_system.delete(hadoop.path(path), True)  # noqa: FBT003 - Java's


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sparkweave", *arguments]


def without_java() -> dict[str, str]:
    """An environment in which no Java is found."""
    variables = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "SPARK_HOME")}
    return {**variables, "PATH": "/nonexistent", "OMP_NUM_THREADS": "1"}


def test_publish_and_serve_on_hdfs(registry_url: str, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_artifact(seed).save(str(tmp_path / f"{seed}.zip"))
    publish = command("publish", str(tmp_path / "0.zip"), registry_url)
    subprocess.run(publish, check=True, env=without_java(), capture_output=True)
    serve = command("serve", registry_url, "--port", "0", "--poll-seconds", "0.2")
    with subprocess.Popen(serve, env=without_java(), stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, "")
            port = next(int(match[1]) for line in lines if (match := re.search(r"at http://[^:]+:(\d+)/predict", line)))
            client = Client(port)
            assert client.ask("POST", "/predict", make_png(), PNG).document["version"] == "000001"
            publish = command("publish", str(tmp_path / "1.zip"), registry_url)
            subprocess.run(publish, check=True, env=without_java(), capture_output=True)
            assert next(line for line in lines if "is served" in line).startswith("version 000002")
            assert client.ask("POST", "/predict", make_png(), PNG).document["version"] == "000002"
            client.close()
        finally:
            server.terminate()
        assert server.wait(60) == 0


def test_of_many_who_publish_to_hdfs_at_once_each_gets_a_number(registry_url: str) -> None:
    numbers: list[int] = []

    def publish(seed: int) -> None:
        registry = Registry(registry_url, storage=NativeStorage())
        numbers.extend(registry.publish(make_artifact(seed)).number for _ in range(2))

    threads = [threading.Thread(target=publish, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 7))


def test_a_corrupt_version_on_hdfs_is_refused(hadoop: HadoopCluster, registry_url: str, tmp_path: Path) -> None:
    Registry(registry_url, storage=NativeStorage()).publish(make_artifact())
    service = open_service(Source(url=registry_url), Limits(batch_images=2))
    (tmp_path / "bad").write_bytes(b"half a model")
    hadoop.put(tmp_path / "bad", f"{registry_url.removeprefix(hadoop.fs_uri)}/000002.zip")
    assert service.watcher is not None
    assert not service.watcher.look()
    assert list(service.watcher.refused) == ["000002"]
    assert service.model is not None
    assert service.model.version == "000001"

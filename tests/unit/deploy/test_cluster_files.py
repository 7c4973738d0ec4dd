"""Files on a cluster's HDFS, with a client of our own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from sparkweave.deploy.cluster_files import ClusterFiles
from sparkweave.errors import ResourceError

DAY = 24 * 3600.0


@dataclasses.dataclass(frozen=True)
class Status:
    path: str
    modification_time: float


class Client:
    def __init__(self, error: Exception | None = None) -> None:
        self.deleted: list[str] = []
        self._error = error

    def list_status(self, path: str) -> Iterator[Status]:
        if self._error:
            raise self._error
        now = time.time()
        yield Status(f"{path}/old", 1000 * (now - 8 * DAY))
        yield Status(f"{path}/new", 1000 * (now - 6 * DAY))

    def delete(self, path: str, *, recursive: bool) -> None:
        self.deleted.append(path)


def files(client: Client) -> ClusterFiles:
    found = ClusterFiles("hdfs:///kept")
    found.__dict__["_client"] = client
    return found


def test_what_has_not_changed_for_long_is_forgotten() -> None:
    client = Client()
    files(client).forget_old("runs", seconds=7 * DAY)
    assert client.deleted == ["/kept/runs/old"]


def test_a_folder_that_is_not_there_has_nothing_old() -> None:
    files(Client(FileNotFoundError())).forget_old("runs", seconds=DAY)
    with pytest.raises(ResourceError, match="refused"):
        files(Client(RuntimeError("refused"))).forget_old("runs", seconds=DAY)


def test_with_kerberos_the_home_is_that_of_the_owner_whom_hdfs_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kerberized(Client):
        def mkdirs(self, path: str, *, create_parent: bool) -> None:
            assert create_parent, "a cluster need not have /tmp"
            self.made = path

        def get_file_info(self, path: str) -> object:
            assert path == self.made
            return mock.Mock(owner="alice")

        def delete(self, path: str, *, recursive: bool = False) -> None:
            super().delete(path, recursive=recursive)

    setting = "<property><name>hadoop.security.authentication</name><value>kerberos</value></property>"
    (tmp_path / "core-site.xml").write_text(f"<configuration>{setting}</configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("HADOOP_USER_NAME", "bob")
    client = Kerberized()
    home = ClusterFiles()
    home.__dict__["_client"] = client
    assert home.url("code") == "hdfs:///user/alice/.sparkweave/code"
    assert client.deleted == [client.made]

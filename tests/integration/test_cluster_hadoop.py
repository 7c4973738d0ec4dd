"""HDFS and YARN on loopback: what `sparkweave.testing.hadoop` promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sparkweave.testing.hadoop import HadoopCluster

pytestmark = pytest.mark.timeout(600)


def test_files_go_to_hdfs_and_come_back(hadoop: HadoopCluster, tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(bytes(range(256)) * 1000)
    hadoop.put(tmp_path / "first", "/files/there")
    assert hadoop.names("/files") == ["there"]
    hadoop.get("/files/there", tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()


def test_everybody_may_write_to_tmp_and_the_user_has_a_home(hadoop: HadoopCluster) -> None:
    mode = hadoop.file_system.getFileStatus(hadoop.path("/tmp")).getPermission().toShort()
    assert oct(mode) == oct(0o1777)
    assert hadoop.file_system.exists(hadoop.file_system.getHomeDirectory())

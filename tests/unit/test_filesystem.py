from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.contracts.filesystem import CONTENT, FileSystemContract

from sparkweave.errors import DataError
from sparkweave.filesystem import (
    FileSystem,
    HdfsFileSystem,
    LocalFileSystem,
    hdfs_errors,
    is_local,
    local_archives,
    local_path,
)


class TestLocalFileSystem(FileSystemContract):
    @pytest.fixture
    def files(self) -> FileSystem:
        return LocalFileSystem()

    @pytest.fixture(params=["", "file:", "file://"])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        (tmp_path / "a b%20c").write_bytes(CONTENT)
        return f"{request.param}{tmp_path}/a b%20c"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.zip", "a.zip", "C.ZIP", ".hidden.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"0123456789")
    (tmp_path / "inner.zip").mkdir()
    return tmp_path


def test_a_folder_stands_for_its_archives_in_order(folder: Path) -> None:
    assert local_archives(str(folder)) == [str(folder / name) for name in ("C.ZIP", "a.zip", "b.zip")]


def test_a_glob_and_a_file_url_are_expanded_and_relative_paths_become_absolute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert local_archives(f"file://{folder}/?.zip") == [str(folder / "a.zip"), str(folder / "b.zip")]
    assert local_archives("notes.txt") == [str(folder / "notes.txt")]


@pytest.mark.parametrize(
    ("path", "says"), [("nothing.zip", "nothing is found"), ("*.7z", "nothing is found"), ("inner.zip", "ends in .zip")]
)
def test_a_path_without_archives_is_an_error_that_names_it(folder: Path, path: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        local_archives(str(folder / path))
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("a.zip", True),
        ("/a b.zip", True),
        ("file:/a.zip", True),
        ("FILE:///a.zip", True),
        ("hdfs://h/a.zip", False),
        ("s3a://b/a", False),
    ],
)
def test_paths_without_a_scheme_are_local(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_percent_signs_stay_as_hadoop_keeps_them() -> None:
    assert [local_path(u) for u in ("file:/a%20b", "file://localhost/a", "file:///a", "x/y")] == [
        "/a%20b",
        "/a",
        "/a",
        "x/y",
    ]


@pytest.mark.parametrize(
    ("url", "says"), [("hdfs:/a.zip", "not of the form"), ("hdfs://nowhere/a.zip", "No NameNode hosts found")]
)
def test_hdfs_names_what_it_can_t_reach(url: str, says: str) -> None:
    with pytest.raises(OSError, match=says):
        HdfsFileSystem().size(url)


RPC_ERROR = 'RPCError("org.apache.hadoop.{kind}", "Permission denied: user=bob, inode=\\"/a.zip\\":root\\n\\tat org.apache.hadoop.A.b(A.java:1)\\n")'


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (RuntimeError(RPC_ERROR.format(kind="security.AccessControlException")), PermissionError, "Permission denied: user=bob"),
        (RuntimeError(RPC_ERROR.format(kind="ipc.RetriableException")), OSError, 'Permission denied: user=bob, inode="/a.zip":root'),
        (RuntimeError('RPCError("Odd", "nothing else")'), OSError, "nothing else"),
        (RuntimeError("DataTransferError\nmore"), OSError, "DataTransferError"),
        (RuntimeError("All DataNodes failed" + " and more" * 99), OSError, "All DataNodes failed and more"),
        (RuntimeError('GSSAPIError(GssMajorCodes { raw: "0x7", routine_error: "GSS_S_NO_CRED" }, 25296, "No")'), PermissionError, "the cluster asks for Kerberos, and there is no valid ticket here: run kinit"),
        (FileNotFoundError("/a.zip\n\tat java"), FileNotFoundError, "No such file or directory"),
    ],
)  # fmt: skip
def test_what_hdfs_refuses_is_told_from_what_it_can_t_do_for_now(
    raised: Exception, kind: type[OSError], says: str
) -> None:
    with pytest.raises(kind) as caught, hdfs_errors("hdfs://h/a.zip"):
        raise raised
    assert caught.value.filename == "hdfs://h/a.zip"
    assert caught.value.strerror.startswith(says)
    assert "java" not in caught.value.strerror
    assert len(caught.value.strerror) <= 200
    assert isinstance(caught.value, PermissionError) is (kind is PermissionError)


def test_importing_file_systems_loads_no_hdfs_client() -> None:
    code = "import sys, sparkweave.filesystem; print('hdfs_native' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkweave.errors import ArtifactError
from sparkweave.report.output import check_page, write_page
from sparkweave.report.page import Run, render_page

PAGE = render_page(Run(name="digits", history=[]))


def test_a_page_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_page(str(path), PAGE) == str(path)
    assert path.read_text() == PAGE
    assert os.listdir(path.parent) == ["report.html"]


def test_a_page_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(str(path), PAGE)
    with pytest.raises(ArtifactError, match=r"already exists; choose another path, or replace it \(--overwrite\)"):
        write_page(str(path), PAGE + "x")
    write_page(str(path), PAGE + "x", overwrite=True)
    assert path.read_text() == PAGE + "x"


def test_what_is_no_page_of_ours_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "thesis.html"
    path.write_text("<!DOCTYPE html><p>years of work")
    with pytest.raises(ArtifactError, match="was not written by sparkweave report, and is not replaced"):
        check_page(str(path), overwrite=True)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder; give the name of a file"):
        check_page(str(tmp_path), overwrite=True)


def test_a_path_elsewhere_is_refused() -> None:
    with pytest.raises(ArtifactError, match="is not on the local disk"):
        check_page("hdfs://nn/report.html")


def test_a_folder_that_is_a_file_is_the_disks_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"report\.html was not written: .*; choose another path"):
        write_page(str(tmp_path / "file" / "report.html"), PAGE)

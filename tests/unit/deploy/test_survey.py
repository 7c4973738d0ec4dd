from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sparkweave.data.image_rows import DecodeOptions
from sparkweave.deploy.survey import Survey, survey
from sparkweave.errors import DataError
from sparkweave.testing.archives import write_image_archive


def test_archives_of_a_folder_are_counted_together(tmp_path: Path) -> None:
    write_image_archive(tmp_path / "a.zip", labels=("0", "1"), images_per_label=3, size=(8, 9))
    write_image_archive(tmp_path / "b.zip", labels=("1", "cat"), images_per_label=2, size=(8, 9))
    assert survey([str(tmp_path)], DecodeOptions()) == Survey(10, (1, 8, 9), 3)


def test_images_are_as_they_would_be_decoded(tmp_path: Path) -> None:
    write_image_archive(tmp_path / "a.zip", size=(8, 8))
    found = survey([str(tmp_path / "a.zip")], DecodeOptions(height=5, width=6, channels=3))
    assert found.shape == (3, 5, 6)


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    write_image_archive(tmp_path / "a.zip", labels=("0", "1"), images_per_label=1, size=(8, 8))
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("notes.txt", "x")
        archive.writestr("__MACOSX/._0_1.png", "x")
        archive.writestr("nolabel.png", "x")
    found = survey([str(tmp_path / "a.zip")], DecodeOptions())
    assert (found.images, found.classes) == (3, 2)


def test_archives_without_one_sound_image_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0_1.png", "x")
    with pytest.raises(DataError, match=r"no image can be decoded .*0_1.png.*give --images and --image-size"):
        survey([str(tmp_path / "a.zip")], DecodeOptions())


def test_archives_elsewhere_are_not_looked_at() -> None:
    with pytest.raises(DataError, match=r"s3a://b/a.zip: only local disks and HDFS .*give --images"):
        survey(["s3a://b/a.zip"], DecodeOptions())

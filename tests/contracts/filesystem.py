"""What every `sparkweave.filesystem.FileSystem` promises. A subclass gives ``files``, and ``url``: a file of ``CONTENT``."""

from __future__ import annotations

import os
import pickle

import pytest

from sparkweave.filesystem import FileSystem

CONTENT = bytes(range(256)) * 20_000


class FileSystemContract:
    def test_a_file_has_a_size(self, files: FileSystem, url: str) -> None:
        assert files.size(url) == len(CONTENT)

    @pytest.mark.parametrize(("offset", "length"), [(0, 3), (1_000_001, 2_000_000), (0, len(CONTENT)), (7, 0)])
    def test_a_range_is_read(self, files: FileSystem, url: str, offset: int, length: int) -> None:
        assert files.read(url, offset, length) == CONTENT[offset : offset + length]

    def test_ranges_end_where_the_file_ends(self, files: FileSystem, url: str) -> None:
        end = len(CONTENT)
        assert [files.read(url, end - 2, 5), files.read(url, end, 5), files.read(url, end + 9, 5)] == [
            CONTENT[-2:],
            b"",
            b"",
        ]

    def test_what_is_missing_is_an_error(self, files: FileSystem, url: str) -> None:
        missing = f"{os.path.dirname(url)}/nothing"
        with pytest.raises(FileNotFoundError):
            files.size(missing)
        with pytest.raises(FileNotFoundError):
            files.read(missing, 0, 1)

    def test_a_folder_is_not_read(self, files: FileSystem, url: str) -> None:
        with pytest.raises(OSError, match=r"\w"):
            files.read(os.path.dirname(url), 0, 1)

    def test_it_goes_to_a_task_as_plain_data(self, files: FileSystem, url: str) -> None:
        assert pickle.loads(pickle.dumps(files)).size(url) == len(CONTENT)

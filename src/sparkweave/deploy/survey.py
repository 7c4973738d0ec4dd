"""What the images of archives are, from the archives' central directories and their first image: enough to plan, read in a moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sparkweave.data.archive import ArchiveLimits, is_image, is_passed_over, read_directory
from sparkweave.data.image_rows import DecodeOptions, decode_rows
from sparkweave.data.labels import label_of
from sparkweave.data.splits import read_split, split_directory
from sparkweave.errors import DataError, LabelError
from sparkweave.filesystem import LocalFileSystem, is_local, local_archives

_ONE_IMAGE_BYTES = 1


@dataclasses.dataclass(frozen=True)
class Survey:
    """How many images there are, of what (channels, height, width), and of how many classes."""

    images: int
    shape: tuple[int, int, int]
    classes: int


def survey(paths: Sequence[str], options: DecodeOptions) -> Survey:
    """Looks at the archives at ``paths``, which may be folders or globs.

    Args:
        paths: On this machine's disk.
        options: How the images would be decoded.

    Raises:
        DataError: if there are no archives here, or no image in them that can be decoded.
    """
    elsewhere = [path for path in paths if not is_local(path)]
    if elsewhere:
        raise DataError(
            f"{elsewhere[0]}: only archives on this machine's disk are looked at; give --images and --image-size instead"
        )
    archives = sorted({archive for path in paths for archive in local_archives(path)})
    names = [name for archive in archives for name in _images_in(archive, options.limits)]
    return Survey(len(names), _first_shape(archives, options), len(_labels(names)))


def _images_in(archive: str, limits: ArchiveLimits) -> list[str]:
    names = read_directory(LocalFileSystem(), archive, limits).records.names()
    return [name for name in names if is_image(name) and not is_passed_over(name)]


def _labels(names: Sequence[str]) -> set[str]:
    labels = set()
    for name in names:
        try:
            labels.add(label_of(name))
        except LabelError:
            continue  # the run itself says which, and decides whether it bears them
    return labels


def _first_shape(archives: Sequence[str], options: DecodeOptions) -> tuple[int, int, int]:
    reason = "there is none"
    for archive in archives:
        fs = LocalFileSystem()
        for split in split_directory(read_directory(fs, archive, options.limits), target_bytes=_ONE_IMAGE_BYTES):
            for batch in decode_rows(read_split(fs, split, options.limits), options):
                row = batch.slice(0, 1).to_pylist()[0]
                if row["image"] is not None:
                    return row["image"]["channels"], row["image"]["height"], row["image"]["width"]
                reason = f"{row['path']}: {row['error']}"
    raise DataError(f"no image can be decoded in {', '.join(archives[:3])} ({reason}); give --images and --image-size")

"""What the images of archives are, from the archives' central directories and their first image: enough to plan, read in a moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sparkweave.data.archive import ArchiveLimits, is_image, is_passed_over, read_directory
from sparkweave.data.image_rows import DecodeOptions, decode_rows
from sparkweave.data.labels import label_of
from sparkweave.data.splits import read_split, split_directory
from sparkweave.deploy.cluster_files import ClusterFiles, split_url
from sparkweave.errors import DataError, LabelError
from sparkweave.filesystem import FileSystem, HdfsFileSystem, LocalFileSystem, is_local, local_archives, no_archives

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
        paths: On this machine's disk, or on the HDFS that ``HADOOP_CONF_DIR`` names.
        options: How the images would be decoded.

    Raises:
        DataError: if there are no archives here, or no image in them that can be decoded.
    """
    archives = {archive: fs for path in paths for fs, archive in _archives(path)}
    names = [name for archive, fs in archives.items() for name in _images_in(fs, archive, options.limits)]
    return Survey(len(names), _first_shape(archives, options), len(_labels(names)))


def _archives(path: str) -> list[tuple[FileSystem, str]]:
    if is_local(path):
        return [(LocalFileSystem(), archive) for archive in local_archives(path)]
    system, name = split_url(path)
    if not path.startswith("hdfs://"):
        raise DataError(f"{path}: only local disks and HDFS are looked at here; give --images and --image-size instead")
    found = ClusterFiles(f"{system or 'hdfs://'}/").archives(name)
    if not found:
        raise no_archives(path, anything=False)
    return [(HdfsFileSystem(), archive) for archive in found]


def _images_in(fs: FileSystem, archive: str, limits: ArchiveLimits) -> list[str]:
    names = read_directory(fs, archive, limits).records.names()
    return [name for name in names if is_image(name) and not is_passed_over(name)]


def _labels(names: Sequence[str]) -> set[str]:
    labels = set()
    for name in names:
        try:
            labels.add(label_of(name))
        except LabelError:
            continue  # the run itself says which, and decides whether it bears them
    return labels


def _first_shape(archives: Mapping[str, FileSystem], options: DecodeOptions) -> tuple[int, int, int]:
    reason = "there is none"
    for archive, fs in archives.items():
        for split in split_directory(read_directory(fs, archive, options.limits), target_bytes=_ONE_IMAGE_BYTES):
            for batch in decode_rows(read_split(fs, split, options.limits), options):
                row = batch.slice(0, 1).to_pylist()[0]
                if row["image"] is not None:
                    return row["image"]["channels"], row["image"]["height"], row["image"]["width"]
                reason = f"{row['path']}: {row['error']}"
    raise DataError(
        f"no image can be decoded in {', '.join(list(archives)[:3])} ({reason}); give --images and --image-size"
    )

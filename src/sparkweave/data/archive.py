"""The rules of an image archive, checked on its central directory before anything is inflated.

What is wrong with an archive as a whole is raised as `ArchiveError`. What is wrong with one entry is a reason, handed
on beside the entry, and the caller decides how many of those it bears. Totals are limited for the whole archive because
a bomb of many small entries, or of entries that share their bytes, passes every check on a single one (D. Fifield, "A
better zip bomb", WOOT 2019).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sparkweave.config import require_positive
from sparkweave.data.images import MAX_PIXELS
from sparkweave.data.zip_directory import (
    DEFLATED,
    ENCRYPTED_FLAG,
    STORED,
    Columns,
    DirectoryEnd,
    Records,
    find_directory,
    parse_records,
)
from sparkweave.errors import ArchiveError
from sparkweave.filesystem import FileSystem

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
LOCAL_HEADER_BYTES = 30

_SMALL_ENTRY_BYTES = 1_000_000
_SMALL_ARCHIVE_BYTES = 64_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """What an archive may hold; everything is checked before it is inflated or decoded.

    Attributes:
        max_entries: Entries of one archive.
        max_directory_bytes: Length of its central directory.
        max_total_bytes: Sum of the sizes that its entries declare.
        max_entry_bytes: Size of one entry, as it is and inflated.
        max_ratio: Inflated bytes a stored byte, of entries over 1 MB and of archives over 64 MB.
        max_pixels: Width times height of one image.
    """

    max_entries: int = 5_000_000
    max_directory_bytes: int = 1 << 30
    max_total_bytes: int = 1 << 40
    max_entry_bytes: int = 64 << 20
    max_ratio: float = 100.0
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            require_positive(field.name, getattr(self, field.name))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Directory:
    """A checked central directory.

    Attributes:
        path: The archive.
        end: Where the directory lies in it.
        records: Its entries.
        next_offset: Where the entry after each one (or the directory) begins in the file, int64, shape (entries,).
        duplicates: Indexes of entries whose name came before, ascending.
    """

    path: str
    end: DirectoryEnd
    records: Records
    next_offset: Columns
    duplicates: list[int]


def read_directory(fs: FileSystem, path: str, limits: ArchiveLimits) -> Directory:
    """Reads and checks the central directory of one archive.

    Raises:
        ArchiveError: if it can't be read, is not a whole ZIP, has no images, is over a limit, or if entries overlap.
    """
    try:
        size = fs.size(path)
        end = find_directory(fs, path, size)
        _check_counts(path, end, limits)
        raw = fs.read(path, end.start, end.length)
    except OSError as error:
        raise ArchiveError(
            f"{path}: can't be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    records = parse_records(raw)
    if records is None or not _count_agrees(len(records), end) or len(raw) != end.length:
        raise ArchiveError(
            f"{path}: its central directory does not hold the {end.entries} entries it declares; "
            "it is damaged: copy it again"
        )
    _check_totals(path, size, records, limits)
    names = records.names()
    if not any(is_image(name) and not is_passed_over(name) for name in names):
        raise _no_images(path, names)
    return Directory(
        path=path,
        end=end,
        records=records,
        next_offset=_next_offsets(path, end, records),
        duplicates=_duplicates(names),
    )


def is_passed_over(name: str) -> bool:
    """Whether an entry is a folder or what operating systems leave behind, neither an image nor an error.

    >>> [is_passed_over(name) for name in ("a/", "__MACOSX/a/._3_1.png", ".DS_Store", "a/3_1.png")]
    [True, True, True, False]
    """
    if "/" not in name:
        return name[:1] in (".", "")
    *folders, file = name.split("/")
    return file[:1] in (".", "") or "__MACOSX" in folders


def is_image(name: str) -> bool:
    """Whether the name ends like an image that is read here, in upper or lower case."""
    return name.endswith(IMAGE_ENDINGS) or name.lower().endswith(IMAGE_ENDINGS)


def entry_problems(records: Records, names: list[str], limits: ArchiveLimits) -> dict[int, str]:
    """Why entries can't be used, by index, as far as the central directory tells; sound entries are absent."""
    problems = {
        index: f"its name does not end in {', '.join(IMAGE_ENDINGS)}; only PNG and JPEG images are read"
        for index, name in enumerate(names)
        if not is_image(name)
    }
    method, size, compressed = records.method, records.size, records.compressed
    encrypted = (records.flags & ENCRYPTED_FLAG) != 0
    strange = (method != STORED) & (method != DEFLATED)
    large = (size > limits.max_entry_bytes) | (compressed > limits.max_entry_bytes)
    bomb = (size > _SMALL_ENTRY_BYTES) & (size > compressed * limits.max_ratio)
    lying = (method == STORED) & (size != compressed) & ~encrypted
    for index in np.flatnonzero(encrypted | strange | large | bomb | lying).tolist():
        if encrypted[index]:
            reason = "it is encrypted; write the archive again without a password"
        elif strange[index]:
            reason = f"it is compressed by method {method[index]}; only stored (0) and DEFLATE (8) entries are read"
        elif large[index]:
            reason = (
                f"it declares {size[index]} bytes ({compressed[index]} in the archive); "
                f"at most {limits.max_entry_bytes} are read"
            )
        elif bomb[index]:
            reason = (
                f"it declares {size[index]} bytes inflated from {compressed[index]}; "
                f"over {_SMALL_ENTRY_BYTES} bytes a ratio of at most {limits.max_ratio:g} is read"
            )
        else:
            reason = f"it is stored, but declares {size[index]} bytes in {compressed[index]}; the archive is damaged"
        problems.setdefault(index, reason)
    return problems


def _check_counts(path: str, end: DirectoryEnd, limits: ArchiveLimits) -> None:
    if end.entries > limits.max_entries:
        raise ArchiveError(
            f"{path}: declares {end.entries} entries; at most {limits.max_entries} are read: split the archive"
        )
    if end.length > limits.max_directory_bytes:
        raise ArchiveError(
            f"{path}: its central directory takes {end.length} bytes; "
            f"at most {limits.max_directory_bytes} are read: split the archive"
        )
    if end.entries == 0 and end.length == 0:
        raise _no_images(path, [])


def _count_agrees(count: int, end: DirectoryEnd) -> bool:
    return count == end.entries if end.zip64 else count & 0xFFFF == end.entries


def _check_totals(path: str, size: int, records: Records, limits: ArchiveLimits) -> None:
    if len(records) > limits.max_entries:
        raise ArchiveError(
            f"{path}: holds {len(records)} entries; at most {limits.max_entries} are read: split the archive"
        )
    total = int(records.size.sum(dtype=np.float64))
    if total > limits.max_total_bytes:
        raise ArchiveError(
            f"{path}: its entries declare {total} bytes; at most {limits.max_total_bytes} are read: split the archive"
        )
    if total > _SMALL_ARCHIVE_BYTES and total > size * limits.max_ratio:
        raise ArchiveError(
            f"{path}: its entries declare {total} bytes in a file of {size}; "
            f"over {_SMALL_ARCHIVE_BYTES} bytes a ratio of at most {limits.max_ratio:g} is read: this looks like a bomb"
        )


def _next_offsets(path: str, end: DirectoryEnd, records: Records) -> Columns:
    """Where the entry after each one begins; raises if any entry reaches into the next, or into the directory."""
    offset = records.offset
    order = np.argsort(offset, kind="stable")
    following = np.append(offset[order[1:]], end.start - end.base)
    reach = (offset + LOCAL_HEADER_BYTES + records.name_length + records.compressed)[order]
    wrong = np.flatnonzero((reach > following) | (reach < 0))
    if len(wrong):
        name = records.names()[order[wrong[0]]]
        raise ArchiveError(
            f"{path}: {len(wrong)} entries overlap what follows them, the first is {name!r}; "
            "the archive is damaged or a bomb: write it again"
        )
    next_offset = np.empty_like(offset)
    next_offset[order] = following + end.base
    return next_offset


def _duplicates(names: list[str]) -> list[int]:
    if len(set(names)) == len(names):
        return []
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    return [index for index, name in enumerate(names) if first[name] != index]


def _no_images(path: str, names: list[str]) -> ArchiveError:
    found = f"{len(names)} other entries, such as {names[0]!r}" if names else "no entries"
    return ArchiveError(
        f"{path}: holds {found}; an archive of images needs entries that end in {', '.join(IMAGE_ENDINGS)}"
    )

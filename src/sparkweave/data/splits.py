"""Reading one archive by many tasks: its central directory is cut into slices, each read on its own.

A slice is a few numbers, so a plan is small however large the archives are; the task that gets it reads its slice of
the directory again, then the entries' bytes in large contiguous ranges.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from sparkweave.data.archive import (
    LOCAL_HEADER_BYTES,
    ArchiveLimits,
    Directory,
    entry_problems,
    is_passed_over,
    read_directory,
)
from sparkweave.data.zip_directory import LOCAL_SIGNATURE, STORED, Columns, Records, parse_records
from sparkweave.errors import ArchiveError
from sparkweave.filesystem import FileSystem

Entry = tuple[str, bytes | None, str | None]
"""An entry's name, and either its bytes or the reason why it can't be used."""

MIN_SPLIT_BYTES = 256 << 10
"""Below this, starting a task costs more than it saves."""

_WINDOW_BYTES = 16 << 20
_MAX_GAP_BYTES = 1 << 20
_MAX_EXTRA_BYTES = 0xFFFF
_MAX_SPLIT_BYTES = 32 << 20

_LOCAL = np.dtype([("signature", "<u4"), ("unused", "V22"), ("name_length", "<u2"), ("extra_length", "<u2")])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveSplit:
    """Some consecutive entries of one archive.

    Attributes:
        path: The archive.
        directory_offset: Where this split's part of the central directory begins in the file.
        directory_length: Its length in bytes.
        directory_crc: Its CRC-32, by which an archive that changed in the meantime is noticed.
        count: Number of entries, folders and files that are passed over included.
        base: What to add to the entries' offsets.
        data_end: Where the bytes of the last of the entries end at the latest.
        duplicates: Entries (counted from 0 in this split) whose name came before in the archive.
    """

    path: str
    directory_offset: int
    directory_length: int
    directory_crc: int
    count: int
    base: int
    data_end: int
    duplicates: tuple[int, ...] = ()


def plan_splits(
    fs: FileSystem,
    paths: Sequence[str],
    *,
    count: int = 1,
    min_bytes: int = MIN_SPLIT_BYTES,
    limits: ArchiveLimits | None = None,
) -> list[ArchiveSplit]:
    """Checks the archives and cuts them into splits of similar length.

    Args:
        fs: Reads the archives.
        paths: The archives; each gives at least one split.
        count: About how many splits to make; more where they would be over 32 MiB.
        min_bytes: Fewer splits are made where they would be shorter than this.
        limits: What an archive may hold.

    Raises:
        ArchiveError: if an archive as a whole can't be used.
    """
    limits = limits or ArchiveLimits()
    target = min(max(sum(_size(fs, path) for path in paths) // count, min_bytes), _MAX_SPLIT_BYTES)
    return [split for path in paths for split in split_directory(read_directory(fs, path, limits), target_bytes=target)]


def split_directory(directory: Directory, *, target_bytes: int) -> list[ArchiveSplit]:
    """Cuts one directory into splits of about ``target_bytes`` of the file each."""
    records, end = directory.records, directory.end
    bounds = np.append(records.start, len(records.raw))
    length = np.cumsum(records.compressed + LOCAL_HEADER_BYTES + records.name_length + np.diff(bounds))
    parts = min(max(1, round(int(length[-1]) / target_bytes)), len(records))
    cuts = np.searchsorted(length, length[-1] * np.arange(1, parts) / parts) + 1
    edges = np.unique(np.concatenate([[0], cuts, [len(records)]])).tolist()
    starts = bounds.tolist()
    duplicates = np.array(directory.duplicates, np.int64)
    splits = []
    for first, last in itertools.pairwise(edges):
        raw = records.raw[starts[first] : starts[last]]
        mine = duplicates[(duplicates >= first) & (duplicates < last)] - first
        splits.append(
            ArchiveSplit(
                path=directory.path,
                directory_offset=end.start + starts[first],
                directory_length=len(raw),
                directory_crc=zlib.crc32(raw),
                count=last - first,
                base=end.base,
                data_end=int(directory.next_offset[first + records.offset[first:last].argmax()]),
                duplicates=tuple(mine.tolist()),
            )
        )
    return splits


def read_split(fs: FileSystem, split: ArchiveSplit, limits: ArchiveLimits) -> Iterator[Entry]:
    """Yields the split's entries: the unusable ones, then the others in the order of their bytes.

    Memory is bounded by 16 MiB, or by an entry that is larger.

    Raises:
        ArchiveError: if the archive can't be read or is not the one that was planned.
    """
    records = _read_records(fs, split)
    names = records.names()
    problems = entry_problems(records, names, limits)
    problems |= dict.fromkeys(split.duplicates, "its name came before in the archive; names must differ")
    good = []
    for index, name in enumerate(names):
        if is_passed_over(name):
            continue
        if index in problems:
            yield name, None, problems[index]
        else:
            good.append(index)
    for window in _windows(split, records, np.array(good, np.int64)):
        yield from _read_window(fs, split.path, records, names, window)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Window:
    """A range of the file, and the entries within it with the latest end of each, both as columns."""

    start: int
    length: int
    index: Columns
    offset: Columns
    end: Columns


def _windows(split: ArchiveSplit, records: Records, wanted: Columns) -> Iterator[_Window]:
    if not len(wanted):
        return
    everything = np.sort(records.offset) + split.base
    wanted = wanted[np.argsort(records.offset[wanted], kind="stable")]
    offset = records.offset[wanted] + split.base
    latest = np.append(everything, split.data_end)[np.searchsorted(everything, offset, side="right")]
    header = LOCAL_HEADER_BYTES + records.name_length[wanted] + _MAX_EXTRA_BYTES
    end = np.minimum(latest, offset + header + records.compressed[wanted])
    breaks = np.append(np.flatnonzero(offset[1:] - end[:-1] > _MAX_GAP_BYTES) + 1, len(wanted))
    first = 0
    while first < len(wanted):
        fitting = int(np.searchsorted(end, offset[first] + _WINDOW_BYTES, side="right"))
        last = min(max(fitting, first + 1), int(breaks[np.searchsorted(breaks, first, side="right")]))
        start, part = int(offset[first]), slice(first, last)
        yield _Window(
            start=start,
            length=int(end[last - 1]) - start,
            index=wanted[part],
            offset=offset[part] - start,
            end=end[part] - start,
        )
        first = last


def _read_window(fs: FileSystem, path: str, records: Records, names: list[str], window: _Window) -> Iterator[Entry]:
    content = _read(fs, path, window.start, window.length)
    index, name_length = window.index, records.name_length[window.index]
    header = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), LOCAL_HEADER_BYTES)
    local = header[window.offset].view(_LOCAL)[:, 0]
    begin = window.offset + LOCAL_HEADER_BYTES + local["name_length"] + local["extra_length"]
    end = begin + records.compressed[index]
    sound = (local["signature"] == LOCAL_SIGNATURE) & (local["name_length"] == name_length) & (end <= window.end)
    columns = (index, begin, end, records.method[index], records.size[index], records.crc[index], sound)
    for entry, first, last, method, size, crc, is_sound in zip(*(column.tolist() for column in columns), strict=True):
        name = names[entry]
        if not is_sound:
            yield name, None, "its local header and the central directory contradict each other; the archive is damaged"
            continue
        data: bytes | None = content[first:last]
        if method != STORED:
            data = _inflate(content[first:last], size)
        if data is None:
            yield name, None, f"it does not inflate to the {size} bytes it declares; the archive is damaged"
        elif zlib.crc32(data) != crc:
            yield name, None, "its checksum (CRC-32) is wrong; the archive is damaged: copy it again"
        else:
            yield name, data, None


def _inflate(data: bytes, size: int) -> bytes | None:
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = decompressor.decompress(data, size + 1)
    except zlib.error:
        return None
    return content if len(content) == size and decompressor.eof else None


def _read_records(fs: FileSystem, split: ArchiveSplit) -> Records:
    raw = _read(fs, split.path, split.directory_offset, split.directory_length)
    records = parse_records(raw) if zlib.crc32(raw) == split.directory_crc else None
    if records is None or len(records) != split.count:
        raise ArchiveError(f"{split.path}: changed since this run began; start it again")
    return records


def _read(fs: FileSystem, path: str, offset: int, length: int) -> bytes:
    try:
        content = fs.read(path, offset, length)
    except OSError as error:
        raise ArchiveError(
            f"{path}: can't be read ({error.strerror or error}); every machine that runs tasks needs this path"
        ) from error
    if len(content) != length:
        raise ArchiveError(
            f"{path}: ends before byte {offset + length}; it changed since this run began: start it again"
        )
    return content


def _size(fs: FileSystem, path: str) -> int:
    try:
        return fs.size(path)
    except OSError as error:
        raise ArchiveError(
            f"{path}: can't be read ({error.strerror or error}); check the path and its permissions"
        ) from error

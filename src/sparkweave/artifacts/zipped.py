"""An artifact's files as the bytes of one ZIP archive: stored, without times, so the same files give the same bytes.

The archive's comment is the SHA-256 of all bytes before it. It is checked before anything is parsed, which covers what
a ZIP reader would overlook (times, attributes, the fields it does not use).
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
from collections.abc import Mapping

from sparkweave.artifacts.manifest import is_name
from sparkweave.errors import ArtifactError

ENDING = ".zip"
_PREFIX = b"sha256:"
_DIGITS = 64
SEAL_LENGTH = len(_PREFIX) + _DIGITS
"""Bytes at the archive's end that `has_seal` looks at."""


def pack(blobs: Mapping[str, bytes]) -> bytes:
    """A ZIP archive of ``blobs``, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in blobs.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, content)
        archive.comment = _PREFIX + b"0" * _DIGITS
    sealed = buffer.getvalue()[:-_DIGITS]
    return sealed + hashlib.sha256(sealed).hexdigest().encode()


def has_seal(tail: bytes) -> bool:
    """Whether an archive that ends in these bytes was written by `pack`."""
    return re.fullmatch(_PREFIX + b"[0-9a-f]{%d}" % _DIGITS, tail[-SEAL_LENGTH:]) is not None


def unpack(content: bytes) -> dict[str, bytes]:
    """The inverse of `pack`.

    Raises:
        ArtifactError: if a byte differs from what was packed, or an entry is not one that `pack` writes (a path, a
            duplicate, compressed, encrypted).
    """
    _check_seal(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist(), len(content))
            return {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, OSError, struct.error) as error:
        raise ArtifactError(f"it is no ZIP archive that can be read ({error})") from error


def _check_seal(content: bytes) -> None:
    digest = hashlib.sha256(memoryview(content)[:-_DIGITS]).hexdigest().encode()
    if not has_seal(content[-SEAL_LENGTH:]) or digest != content[-_DIGITS:]:
        raise ArtifactError(
            "it is cut, was changed after it was written, or is no ZIP of sparkweave's;"
            " restore it from a copy (a folder packed by hand must be unpacked and loaded as a folder)"
        )


def _check_entries(entries: list[zipfile.ZipInfo], length: int) -> None:
    names = [info.filename for info in entries]
    for info in entries:
        if not is_name(info.orig_filename):
            raise ArtifactError(
                f"its entry {info.orig_filename!r} is not a plain file name; it was not written by sparkweave"
            )
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise ArtifactError(
                f"its entry {info.filename} is compressed or encrypted; it was not written by sparkweave"
            )
    if len(set(names)) != len(names) or sum(info.file_size for info in entries) > length:
        raise ArtifactError("its entries overlap or share a name; it was not written by sparkweave")

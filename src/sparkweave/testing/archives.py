"""Tiny archives of images, and a corpus of archives that should be refused.

>>> import tempfile, os
>>> path = os.path.join(tempfile.mkdtemp(), "tiny.zip")
>>> write_image_archive(path, labels=("0", "1"), images_per_label=2)
['0_0000.png', '0_0001.png', '1_0000.png', '1_0001.png']
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
PathLike = str | os.PathLike[str]


def make_image(label_index: int, number: int = 0, *, size: tuple[int, int] = (28, 28), channels: int = 1) -> Pixels:
    """A small image that a network can learn: a bright bar in a place that tells the class, with noise of its own.

    Returns:
        uint8 pixels of shape (height, width, channels).
    """
    height, width = size
    noise = np.random.default_rng((label_index, number))
    pixels = noise.integers(0, 64, (height, width, channels), dtype=np.uint8)
    bar = max(1, height // 10)
    top = label_index * bar % max(1, height - bar + 1)
    pixels[top : top + bar] = 255 - pixels[top : top + bar]
    return pixels


def encode_image(pixels: Pixels, ending: str = ".png") -> bytes:
    """PNG or JPEG bytes of gray or RGB pixels, shape (height, width, channels)."""
    ok, content = cv2.imencode(ending, pixels if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not ok:
        raise ValueError(f"OpenCV can't write {ending!r}")
    return content.tobytes()


def write_archive(
    path: PathLike, entries: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED
) -> None:
    """Writes a ZIP archive with the given names and contents, in their order, always with the same bytes."""
    pairs = entries.items() if isinstance(entries, Mapping) else entries
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in pairs:
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            archive.writestr(info, content, compress_type=method)


def write_image_archive(
    path: PathLike,
    *,
    labels: Sequence[str] = ("0", "1", "2"),
    images_per_label: int = 10,
    size: tuple[int, int] = (28, 28),
    channels: int = 1,
    ending: str = ".png",
    method: int = zipfile.ZIP_STORED,
) -> list[str]:
    """Writes an archive of learnable images named ``LABEL_NNNN.png``, sorted by class, and returns their names."""
    entries = {
        f"{label}_{number:04}{ending}": encode_image(make_image(index, number, size=size, channels=channels), ending)
        for index, label in enumerate(labels)
        for number in range(images_per_label)
    }
    write_archive(path, entries, method=method)
    return list(entries)


def image_bomb(height: int = 13_000, width: int = 13_000) -> bytes:
    """A sound gray PNG of 20 kB (at 13,000 x 13,000) that takes 161 MiB to decode; made row by row."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_of(height, width, pixels, bit_depth=1)


def png_of(height: int, width: int, compressed: bytes, *, bit_depth: int = 8) -> bytes:
    """A gray PNG with the given header and compressed rows, whether or not they agree."""
    header = struct.pack(">2L5B", width, height, bit_depth, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", compressed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def patch_directory(path: PathLike, name: str, *, local: bool = False, **fields: int) -> None:
    """Overwrites fields of one entry's central directory record (and of its local header, if asked), leaving all else.

    Args:
        path: The archive.
        name: The entry.
        local: Whether to change the local header too (not possible for ``offset``).
        fields: Any of flags, method, crc, compressed, size, offset, disk.
    """
    with open(path, "rb") as file:
        content = bytearray(file.read())
    raw_name = name.encode()
    record = _find(content, b"PK\x01\x02", 46, raw_name)
    header = _find(content, b"PK\x03\x04", 30, raw_name) if local else None
    for field, value in fields.items():
        central_at, local_at, form = _FIELDS[field]
        struct.pack_into(form, content, record + central_at, value)
        if header is not None and local_at is not None:
            struct.pack_into(form, content, header + local_at, value)
    with open(path, "wb") as file:
        file.write(content)


_FIELDS: dict[str, tuple[int, int | None, str]] = {
    "flags": (8, 6, "<H"),
    "method": (10, 8, "<H"),
    "crc": (16, 14, "<L"),
    "compressed": (20, 18, "<L"),
    "size": (24, 22, "<L"),
    "disk": (34, None, "<H"),
    "offset": (42, None, "<L"),
}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def _find(content: bytearray, signature: bytes, header: int, name: bytes) -> int:
    at = content.find(signature)
    while at >= 0:
        if content[at + header : at + header + len(name)] == name:
            return at
        at = content.find(signature, at + 1)
    raise ValueError(f"no record of {name!r}")


def _sound(path: str) -> None:
    write_image_archive(path, labels=("0", "1"), images_per_label=3)


def _with_entry(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> Callable[[str], None]:
    def write(path: str) -> None:
        good = encode_image(make_image(0))
        write_archive(path, [("0_0000.png", good), (name, content), ("1_0000.png", good)], method=method)

    return write


def _with_bytes(content: bytes) -> Callable[[str], None]:
    def write(path: str) -> None:
        with open(path, "wb") as file:
            file.write(content)

    return write


def _cut(keep: Callable[[int], int]) -> Callable[[str], None]:
    def write(path: str) -> None:
        _sound(path)
        os.truncate(path, keep(os.path.getsize(path)))

    return write


def _patched(*, local: bool = False, **fields: int) -> Callable[[str], None]:
    def write(path: str) -> None:
        _sound(path)
        patch_directory(path, "0_0001.png", local=local, **fields)

    return write


def _other_local_header(path: str) -> None:
    _sound(path)
    with open(path, "rb") as file:
        content = file.read()
    _with_bytes(content.replace(b"PK\x03\x04", b"PK\x05\x04", 2))(path)


def _lying_inflated_size(path: str) -> None:
    _with_entry("5_0000.png", bytes(20_000_000), zipfile.ZIP_DEFLATED)(path)
    patch_directory(path, "5_0000.png", local=True, size=500)


def _without_front(path: str) -> None:
    _sound(path)
    with open(path, "rb") as file:
        content = file.read()[500:]
    _with_bytes(content)(path)


def _without_middle(path: str) -> None:
    _sound(path)
    with open(path, "rb") as file:
        content = file.read()
    # As much is put before the archive as is taken out of it, so that no offset gives it away.
    _with_bytes(bytes(200) + content[:300] + content[500:])(path)


def _several_disks(path: str) -> None:
    _sound(path)
    with open(path, "r+b") as file:
        file.seek(-22 + 4, os.SEEK_END)
        file.write(struct.pack("<2H", 1, 1))


def _overlapping(path: str) -> None:
    """Every entry's offset is that of one large kernel: few bytes in the file, many declared."""
    kernel = encode_image(make_image(0))
    write_archive(path, {f"0_{number:04}.png": kernel if number == 0 else b"" for number in range(50)})
    for number in range(1, 50):
        patch_directory(
            path, f"0_{number:04}.png", offset=0, size=len(kernel), compressed=len(kernel), crc=zlib.crc32(kernel)
        )


def _many_small_bombs(path: str) -> None:
    write_archive(path, {f"0_{number:04}.png": bytes(900_000) for number in range(80)}, method=zipfile.ZIP_DEFLATED)


def _duplicates(path: str) -> None:
    good = encode_image(make_image(0))
    write_archive(path, {"0_0000.png": good, "0_0001.png": good, "1_0000.png": good})
    with open(path, "rb") as file:
        content = file.read()
    _with_bytes(content.replace(b"0_0001.png", b"0_0000.png"))(path)


def _image_cut(ending: str) -> bytes:
    whole = encode_image(make_image(0, channels=3), ending)
    return whole[: len(whole) // 2]


HOSTILE_ARCHIVES: Mapping[str, Callable[[str], None]] = {
    "empty file": _with_bytes(b""),
    "not a ZIP": _with_bytes(b"these are not the bytes of an archive\n" * 50),
    "empty ZIP": lambda path: write_archive(path, {}),
    "no images": lambda path: write_archive(path, {"README.txt": b"hello", "folder/": b""}),
    "truncated": _cut(lambda size: size // 2),
    "one byte short": _cut(lambda size: size - 1),
    "front missing": _without_front,
    "several disks": _several_disks,
    "overlapping entries": _overlapping,
    "bomb of many small entries": _many_small_bombs,
    "entry past the end": _patched(offset=1 << 30),
}
"""Writers, by fault, of archives that are refused as a whole with `ArchiveError`."""

HOSTILE_ENTRIES: Mapping[str, Callable[[str], None]] = {
    "encrypted entry": _patched(local=True, flags=1),
    "unknown method": _patched(local=True, method=12),
    "wrong checksum": _patched(local=True, crc=0xDEADBEEF),
    "size too large": _patched(local=True, size=5_000),
    "size too small": _lying_inflated_size,
    "not where the directory says": _other_local_header,
    "bytes missing in the middle": _without_middle,
    "ratio bomb": _with_entry("5_0000.png", bytes(20_000_000), zipfile.ZIP_DEFLATED),
    "image bomb": _with_entry("5_0000.png", image_bomb()),
    "truncated PNG": _with_entry("5_0000.png", _image_cut(".png")),
    "truncated JPEG": _with_entry("5_0000.jpg", _image_cut(".jpg")),
    "another format": _with_entry("5_0000.png", b"GIF89a" + bytes(100)),
    "text": _with_entry("5_0000.jpg", b"not an image"),
    "no bytes": _with_entry("5_0000.png", b""),
    "no label": _with_entry("picture.png", encode_image(make_image(0))),
    "not an image's name": _with_entry("5_0000.txt", b"hello"),
    "a name twice": _duplicates,
}
"""Writers, by fault, of archives with some sound images and at least one bad entry."""

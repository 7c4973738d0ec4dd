"""PNG and JPEG bytes to pixels.

OpenCV decodes small images about five times faster than Pillow, with the same pixels, but it takes any format, any
size, and in some releases truncated files. So the header is read here first: the format, the number of pixels and the
end mark are checked before OpenCV sees the bytes.

Sources: Portable Network Graphics (PNG) Specification (Third Edition), W3C, section 11.2.2; ITU-T T.81 (JPEG), annex B.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

from sparkweave.errors import ImageError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 50_000_000
"""Of one image, wherever images are read, unless a limit says otherwise."""

_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_END = b"IEND\xaeB`\x82"
_PNG_HEADER = struct.Struct(">2L2B").unpack_from
_PNG_GRAY = (0, 4)
_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE = frozenset(range(0xD0, 0xD8)) | {0x01}
_JPEG_SCAN = 0xDA
_OTHERS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"<svg": "SVG",
}


class Header(NamedTuple):
    """What an image says of itself: height and width in pixels, and 1 channel (gray) or 3 (RGB)."""

    height: int
    width: int
    channels: int


def probe(content: bytes) -> Header:
    """Reads the header, without decoding, and checks that the image is not cut off.

    Raises:
        ImageError: if it isn't a whole PNG or JPEG.
    """
    if content.startswith(_PNG_START):
        if not content.endswith(_PNG_END) and _PNG_END not in content:
            raise _truncated("PNG", content)
        width, height, _, color = _PNG_HEADER(content, 16)
        return Header(height, width, 1 if color in _PNG_GRAY else 3)
    if content.startswith(_JPEG_START):
        return _probe_jpeg(content)
    raise _unknown(content)


def decode(
    content: bytes,
    *,
    height: int | None = None,
    width: int | None = None,
    channels: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pixels:
    """Decodes a PNG or JPEG image.

    Alpha is dropped, 16 bits a channel become 8, palettes become RGB, and a JPEG's EXIF orientation is applied.
    Shrinking averages over areas, enlarging interpolates linearly; the aspect ratio is not kept.

    Args:
        content: The file's bytes.
        height: Rows to resize to; None keeps them.
        width: Columns to resize to; None keeps them.
        channels: 1 (gray) or 3 (RGB); None keeps gray images gray and makes all others RGB.
        max_pixels: The most pixels that are decoded.

    Returns:
        uint8 pixels of shape (height, width, channels).

    Raises:
        ImageError: if the bytes aren't a whole PNG or JPEG, or have more than ``max_pixels``.
    """
    header = probe(content)
    if not 0 < header.height * header.width <= max_pixels:
        raise ImageError(f"it has {header.height} x {header.width} pixels; from 1 to {max_pixels} are decoded")
    gray = (channels or header.channels) == 1
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"its {len(content)} bytes can't be decoded ({error.err}); the image is damaged") from error
    if decoded is None:
        raise ImageError(f"its {len(content)} bytes can't be decoded; the image is damaged")
    pixels = cast("Pixels", decoded)
    if height is not None or width is not None:
        pixels = resize(pixels, height or pixels.shape[0], width or pixels.shape[1])
    return pixels.reshape(pixels.shape[0], pixels.shape[1], 1) if gray else pixels


def use_one_thread() -> None:
    """Keeps OpenCV, in this process, from starting threads beside Spark's tasks, and from printing warnings."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Shrinking averages over areas, enlarging interpolates linearly; the aspect ratio is not kept."""
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    method = cv2.INTER_AREA if height <= rows and width <= columns else cv2.INTER_LINEAR
    return cast("Pixels", cv2.resize(pixels, (width, height), interpolation=method))


def _probe_jpeg(content: bytes) -> Header:
    """Walks the marker segments to the first scan: an EXIF thumbnail's own end mark lies before it."""
    at, frame = 2, None
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_STANDALONE:
            at += 2
        else:
            if marker in _JPEG_FRAMES and at + 10 <= len(content):
                rows, columns, components = struct.unpack_from(">2HB", content, at + 5)
                frame = Header(rows, columns, 1 if components == 1 else 3)
            if marker == _JPEG_SCAN:
                break
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if frame is None or content.find(_JPEG_END, at) < 0:
        raise _truncated("JPEG", content)
    return frame


def _truncated(kind: str, content: bytes) -> ImageError:
    return ImageError(
        f"its {len(content)} bytes start as a {kind} image but don't reach its end; "
        "the image is truncated: copy it again"
    )


def _unknown(content: bytes) -> ImageError:
    if not content:
        return ImageError("it is empty; only PNG and JPEG images are read")
    kind = next((name for start, name in _OTHERS.items() if content.startswith(start)), None)
    return ImageError(
        f"it starts with {content[:8]!r}{f' ({kind})' if kind else ''}; only PNG and JPEG images are read: convert it"
    )

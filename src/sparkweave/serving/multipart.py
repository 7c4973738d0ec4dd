"""The parts of a ``multipart/form-data`` body that is in memory already.

A delimiter can't occur within a part (RFC 2046, section 5.1.1), so that cutting the body at its delimiters is all there is to do: it takes
microseconds, and writes no temporary files.
"""

from __future__ import annotations

import dataclasses
import re

from sparkweave.serving.refusal import Refusal, invalid

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name="([^"\r\n]{0,200})"', re.IGNORECASE)
_ENCODING = re.compile(rb"^content-transfer-encoding:\s*(base64|quoted-printable)", re.IGNORECASE | re.MULTILINE)
_MAX_HEADERS = 4096


@dataclasses.dataclass(frozen=True)
class Part:
    """One part: the field's name and its content."""

    name: str
    content: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type header names.

    Raises:
        Refusal: if it names none.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise invalid("the Content-Type names no boundary", "send multipart/form-data; boundary=... as HTTP clients do")
    return (match[1] or match[2]).encode("latin-1")


def parts_of(body: bytes, boundary: bytes, *, at_most: int) -> list[Part]:
    """The parts of a body.

    Raises:
        Refusal: if it is cut off or malformed, or has more than ``at_most`` parts.
    """
    delimiter = b"\r\n--" + boundary
    whole = b"\r\n" + body
    # One more for the closing delimiter.
    if whole.count(delimiter) > at_most + 1:
        raise Refusal(413, f"the body has more than {at_most} parts; send fewer images in a request")
    _, *pieces = whole.split(delimiter)
    if not pieces or not pieces[-1].startswith(b"--"):
        raise invalid("the body does not end with its boundary", "send it whole, as multipart/form-data")
    return [_part(piece) for piece in pieces[:-1]]


def _part(piece: bytes) -> Part:
    padding, line, rest = piece.partition(b"\r\n")
    head, blank, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not line or not blank or len(head) > _MAX_HEADERS:
        raise invalid("a part of the body is malformed", "send multipart/form-data as HTTP clients do")
    if _ENCODING.search(head):
        raise invalid("a part is in base64 or quoted-printable", "send the image's bytes as they are")
    name = _NAME.search(head)
    return Part(name[1].decode("utf-8", "replace") if name else "", content)

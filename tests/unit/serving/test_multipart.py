from __future__ import annotations

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.serving.multipart import Part, boundary_of, parts_of
from sparkweave.serving.refusal import Refusal

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0'), min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=200)), min_size=1, max_size=6))
def test_what_a_client_sends_is_what_is_found(fields: list[tuple[str, bytes]]) -> None:
    files = [(name, ("a file", content, "image/png")) for name, content in fields]
    request = httpx.Request("POST", "http://localhost", files=files)
    found = parts_of(request.read(), boundary_of(request.headers["content-type"]), at_most=6)
    assert [part.content for part in found] == [content for _, content in fields]
    assert len({part.name for part in found}) == len({name for name, _ in fields})


@given(st.binary(max_size=300), st.integers(0, 3))
def test_nonsense_is_refused_or_has_parts(content: bytes, times: int) -> None:
    body = (b"--b\r\n" + content) * times + content + b"--b--"
    with contextlib.suppress(Refusal):
        assert len(parts_of(body, b"b", at_most=5)) <= 5


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; Boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=abc; x=y", b"abc"),
    ],
)
def test_boundaries(header: str, boundary: bytes) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize("header", ["", "multipart/form-data; boundary="])
def test_no_boundary(header: str) -> None:
    with pytest.raises(Refusal, match="names no boundary"):
        boundary_of(header)


def test_preamble_epilogue_and_padding_are_passed_over() -> None:
    body = b'hello\r\n--b \t\r\nContent-Disposition: form-data; name="x"\r\n\r\none\r\n--b--\r\nbye'
    assert parts_of(body, b"b", at_most=1) == [Part("x", b"one")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n\r\none",
        b"--b\r\nno blank line\r\n--b--",
        b"--bx\r\n\r\none\r\n--b--",
        b"--b\r\n" + b"x" * 5000 + b"\r\n\r\none\r\n--b--",
        b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nb25l\r\n--b--",
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parts_of(body, b"b", at_most=3)
    assert refused.value.status == 400

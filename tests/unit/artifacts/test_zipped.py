"""The ZIP form is reproducible, open to any ZIP reader, and read only where it is exactly what was packed."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.artifacts.zipped import SEAL_LENGTH, has_seal, pack, unpack
from sparkweave.errors import ArtifactError

NAMES = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)


def sealed(archive: bytes) -> bytes:
    """A hostile archive (its comment still empty) with a seal that is right."""
    assert archive[-2:] == b"\0\0"
    body = archive[:-2] + SEAL_LENGTH.to_bytes(2, "little") + b"sha256:"
    return body + hashlib.sha256(body).hexdigest().encode()


def hostile(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return sealed(buffer.getvalue())


@given(st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=5))
def test_what_was_packed_is_unpacked_in_its_order(blobs: dict[str, bytes]) -> None:
    assert list(unpack(pack(blobs)).items()) == list(blobs.items())


def test_the_same_files_give_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack({"a": b"1", "b": b"2"})
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert pack({"a": b"1", "b": b"2"}) == first


def test_any_zip_reader_can_read_it() -> None:
    with zipfile.ZipFile(io.BytesIO(pack({"a": b"1"}))) as archive:
        assert archive.testzip() is None
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        assert archive.read("a") == b"1"


def test_the_seal_is_found_at_the_end() -> None:
    assert has_seal(pack({"a": b"1"})[-SEAL_LENGTH:])
    assert not has_seal(b"short")
    assert not has_seal(hostile(("a", b""))[:-1][-SEAL_LENGTH:])


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "a\\b", "C:x", ".hidden", "", "a/"])
def test_an_entry_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="is not a plain file name"):
        unpack(hostile((name, b"x")))


def test_a_name_cut_at_a_zero_byte_is_refused() -> None:
    crafted = hostile(("aZ/etc", b"x"))[:-64].replace(b"aZ/etc", b"a\0/etc")
    with pytest.raises(ArtifactError, match="is not a plain file name"):
        unpack(crafted + hashlib.sha256(crafted).hexdigest().encode())


def test_a_compressed_entry_is_refused_before_it_is_inflated() -> None:
    with pytest.raises(ArtifactError, match="a is compressed or encrypted"):
        unpack(hostile(("a", b"0" * 1_000_000), compression=zipfile.ZIP_DEFLATED))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(ArtifactError, match="overlap or share a name"):
        unpack(hostile(("a", b"1"), ("a", b"2")))


def test_lengths_beyond_the_archive_are_refused() -> None:
    body = pack({"a": b"content"})[:-64]
    start = body.rindex(b"PK\x01\x02")
    huge = (10**9).to_bytes(4, "little") * 2
    crafted = body[: start + 20] + huge + body[start + 28 :]
    with pytest.raises(ArtifactError, match="overlap"):
        unpack(crafted + hashlib.sha256(crafted).hexdigest().encode())


@given(st.binary(max_size=300))
def test_bytes_that_are_no_archive_are_refused_even_with_a_seal(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        unpack(content)
    with pytest.raises(ArtifactError):
        unpack(sealed(content + b"\0\0"))


@given(st.data())
def test_a_sealed_archive_with_a_changed_byte_is_an_artifact_error_or_the_same_content(data: st.DataObject) -> None:
    body = bytearray(pack({"a": b"first", "b": b"second"})[:-64])
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        blobs = unpack(bytes(body) + hashlib.sha256(body).hexdigest().encode())
    except ArtifactError:
        return
    assert set(blobs.values()) <= {b"first", b"second"}

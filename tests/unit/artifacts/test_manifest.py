"""The manifest has one spelling and covers names, lengths and content."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.artifacts import manifest
from sparkweave.errors import ArtifactError

BLOBS = {"b.json": b"{}", "a.bin": b"\0\1"}


def test_the_manifest_lists_length_and_sha256_of_each_file() -> None:
    record = json.loads(manifest.seal("model", BLOBS))
    assert record["kind"] == "model"
    assert record["version"] == 1
    assert record["files"]["b.json"] == {
        "bytes": 2,
        "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    }
    assert manifest.seal("model", dict(reversed(BLOBS.items()))) == manifest.seal("model", BLOBS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"\xff", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"kind": "model", "version": 1, "files": []}', "is damaged"),
        (b'{"kind": "model", "version": 1, "files": {"a": {"bytes": -1, "sha256": ""}}}', "is damaged"),
        (b'{"kind": "model", "version": 1, "files": {"a": {"bytes": true, "sha256": ""}}}', "is damaged"),
        (b'{"kind": "model", "version": 1, "files": {"../a": {"bytes": 1, "sha256": ""}}}', "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"kind": "model", "version": 2, "files": {}}', "format version 2; this sparkweave reads 1"),
        (b'{"kind": "model", "version": 1, "files": {}}', "was changed after it was written"),
    ],
)
def test_what_seal_did_not_write_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        manifest.parse("model", content)


@given(st.data())
def test_any_changed_byte_of_a_manifest_is_refused(data: st.DataObject) -> None:
    content = bytearray(manifest.seal("model", BLOBS))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ArtifactError):  # noqa: PT012 - what parses must fail against the files
        files = manifest.parse("model", bytes(content))
        manifest.check_names(files, BLOBS)
        manifest.check_content(files, BLOBS)

"""Updates as frames of bytes."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.compression.updates import equal, sparse_updates

from sparkweave.compression.codec import Codec
from sparkweave.compression.frame import CODECS, decode, encode
from sparkweave.compression.huffman import Huffman
from sparkweave.compression.rice import Rice
from sparkweave.compression.sparse import Sparse
from sparkweave.compression.update import DenseUpdate, SparseUpdate
from sparkweave.errors import CollectiveError

HEADER_BYTES = 11
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


@each_codec
@given(update=sparse_updates())
def test_an_update_survives(codec: Codec, update: SparseUpdate) -> None:
    frame = encode(update, [codec])
    assert len(frame) == HEADER_BYTES + codec.length(update)
    assert equal(update, decode(frame, update.size))


@given(update=sparse_updates())
def test_the_shortest_form_is_chosen_and_is_bounded(update: SparseUpdate) -> None:
    frame = encode(update)
    assert len(frame) == min(len(encode(update, [codec])) for codec in CODECS)
    assert len(frame) <= HEADER_BYTES + math.ceil(update.size / 4)
    assert equal(update, decode(frame, update.size))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=50))
def test_a_dense_update_survives_bit_by_bit(values: list[float]) -> None:
    update = DenseUpdate(np.array(values, np.float32))
    frame = encode(update)
    assert len(frame) == 5 + 4 * len(values)
    again = decode(frame, len(values))
    assert isinstance(again, DenseUpdate)
    assert again.values.tobytes() == update.values.tobytes()


def changed_at_random(density: float, size: int = 400_000) -> SparseUpdate:
    generator = np.random.default_rng(1)
    indices = np.flatnonzero(generator.random(size) < density)
    return SparseUpdate(size, 0.5, indices, generator.random(len(indices)) < 0.5)


@given(update=sparse_updates().filter(lambda update: update.count > 0))
def test_wherever_the_entries_are_they_take_few_bits_more_than_random_ones(update: SparseUpdate) -> None:
    bits = update.count * (math.log2(update.size / update.count) + 3)
    assert len(encode(update)) <= HEADER_BYTES + 1 + math.ceil(bits / 8)


@pytest.mark.parametrize("density", [1e-4, 1e-3, 1e-2, 1e-1, 0.5])
def test_entropy_coded_positions_are_near_the_least_that_is_possible(density: float) -> None:
    update = changed_at_random(density)
    bits = 8 * (len(encode(update)) - HEADER_BYTES) / update.count
    density = update.count / update.size
    entropy = -math.log2(density) - (1 - density) / density * math.log2(1 - density) + 1
    assert entropy - 0.1 < bits < entropy + 0.4


@pytest.mark.parametrize(("density", "factor"), [(1e-3, 2.4), (1e-2, 3.4), (1e-1, 5.4)])
def test_the_classical_form_takes_several_times_as_many_bytes(density: float, factor: float) -> None:
    update = changed_at_random(density)
    assert len(encode(update, [Sparse()])) > factor * len(encode(update))


def changed_in_clusters(density: float, rows: int = 500, columns: int = 800) -> SparseUpdate:
    """As of a layer's weights: most in the rows and columns of a few units."""
    generator = np.random.default_rng(1)
    strength = np.outer(generator.lognormal(0, 2, rows), generator.lognormal(0, 1, columns)).reshape(-1)
    strength *= generator.exponential(1, rows * columns)
    indices = np.flatnonzero(strength >= np.quantile(strength, 1 - density))
    return SparseUpdate(rows * columns, 0.5, indices, generator.random(len(indices)) < 0.5)


@pytest.mark.parametrize("density", [1e-3, 1e-2])
def test_where_entries_come_in_clusters_the_classical_form_takes_three_times_as_many_bytes(density: float) -> None:
    update = changed_in_clusters(density)
    frame = encode(update)
    assert frame == encode(update, [Huffman()])
    assert len(encode(update, [Sparse()])) > 3 * len(frame)
    assert len(encode(update, [Rice()])) > 1.1 * len(frame)


@given(frame=st.binary(max_size=60), size=st.integers(0, 2**33))
def test_garbage_is_refused_or_is_an_update_of_the_right_size(frame: bytes, size: int) -> None:
    try:
        update = decode(frame, size)
    except CollectiveError:
        return
    assert update.size == size


@each_codec
@given(update=sparse_updates(), data=st.data())
def test_a_damaged_frame_is_refused_or_well_formed(codec: Codec, update: SparseUpdate, data: st.DataObject) -> None:
    frame = bytearray(encode(update, [codec]))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        damaged = decode(bytes(frame), update.size)
    except CollectiveError:
        return
    assert damaged.size == update.size
    if isinstance(damaged, SparseUpdate):
        assert len(damaged.negative) == damaged.count
        assert not damaged.count or (damaged.indices[0] >= 0 and damaged.indices[-1] < update.size)
        assert (np.diff(damaged.indices) > 0).all()


@each_codec
@given(update=sparse_updates().filter(lambda update: update.count > 0), data=st.data())
def test_a_frame_that_was_cut_or_goes_on_is_refused(codec: Codec, update: SparseUpdate, data: st.DataObject) -> None:
    frame = encode(update, [codec])
    with pytest.raises(CollectiveError, match="can't be read"):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))], update.size)
    with pytest.raises(CollectiveError, match="can't be read"):
        decode(frame + data.draw(st.binary(min_size=1, max_size=9)), update.size)


def frame_of(tag: int, size: int, threshold: int, count: int, payload: bytes) -> bytes:
    return struct.pack("<BIHI", tag, size, threshold, count) + payload


HALF = 0x3F00
REFUSED = {
    "no codec": (frame_of(9, 4, HALF, 0, b""), "no codec has the number 9"),
    "another size": (frame_of(1, 5, HALF, 0, b""), "it is of 5 parameters, and there are 4"),
    "a threshold of zero": (frame_of(1, 4, 0, 0, b""), "its threshold is 0.0"),
    "a negative threshold": (frame_of(1, 4, HALF | 0x8000, 0, b""), "its threshold is -0.5"),
    "a threshold without end": (frame_of(1, 4, 0x7F80, 0, b""), "its threshold is inf"),
    "more entries than parameters": (frame_of(2, 4, HALF, 5, b"\0" * 9), "5 of 4 parameters change"),
    "entries without number": (frame_of(1, 4, HALF, 1, bytes(4)), "an entry has no number"),
    "entries twice": (frame_of(1, 4, HALF, 2, struct.pack("<ii", 2, -2)), "do not rise"),
    "entries beyond the end": (frame_of(1, 4, HALF, 1, struct.pack("<i", 5)), "do not rise"),
    "the fourth pair of bits": (frame_of(3, 4, HALF, 1, b"\x03"), "no two bits each"),
    "another count": (frame_of(3, 4, HALF, 2, b"\x01"), "no two bits each"),
    "parameters beyond the end": (frame_of(3, 3, HALF, 1, b"\x40"), "no two bits each"),
    "bytes for nothing": (frame_of(2, 4, HALF, 0, b"\0\0"), "8 bits after its last"),
    "too many lower bits": (frame_of(2, 4, HALF, 1, b"\x20" + b"\0" * 8), "no number of lower bits up to 31"),
    "too few lower bits": (frame_of(2, 4, HALF, 1, b"\x1f\0"), "more bytes than there are"),
    "a quotient that is far too large": (frame_of(2, 4, HALF, 1, b"\x1f" + b"\0" * 4 + b"\x20"), "not below 4"),
    "quotients without end": (frame_of(2, 4, HALF, 1, b"\x00\x00\x00"), "0 quotients, and 1 entries"),
    "more quotients than entries": (frame_of(2, 4, HALF, 1, b"\x00\x50"), "2 quotients, and 1 entries"),
    "a Huffman code without a table": (frame_of(4, 4, HALF, 0, b""), "no number of classes up to 31"),
    "too many classes": (frame_of(4, 4, HALF, 0, b"\x20" + b"\0" * 20), "no number of classes up to 31"),
    "half a table": (frame_of(4, 4, HALF, 1, b"\x03\x10"), "more than the 8 bits that there are"),
    "no codewords": (frame_of(4, 4, HALF, 1, b"\x01\0\0"), "none of a Huffman code"),
    "codewords for nothing": (frame_of(4, 4, HALF, 0, b"\x01\x10"), "none of a Huffman code"),
    "too few codewords": (frame_of(4, 4, HALF, 1, b"\x02\x20\0"), "none of a Huffman code"),
    "too many codewords": (frame_of(4, 4, HALF, 1, b"\x03\x22\x20"), "none of a Huffman code"),
    "fewer entries than announced": (frame_of(4, 9, HALF, 9, b"\x01\x10"), "more than the 8 bits that there are"),
    "an index beyond the end": (frame_of(4, 4, HALF, 1, b"\x03\x00\x12"), "do not rise"),
    "bits that fill a byte": (frame_of(4, 4, HALF, 1, b"\x01\x11"), "not the zeros that fill a byte"),
    "a dense value that is no number": (struct.pack("<BIf", 0, 1, math.nan), "a value is not finite"),
    "too few dense values": (struct.pack("<BIf", 0, 2, 1.0), "2 values take 8 bytes, and there are 4"),
    "nothing": (b"", "can't be read"),
}


@pytest.mark.parametrize(("frame", "problem"), REFUSED.values(), ids=REFUSED)
def test_a_frame_that_is_not_as_it_must_be_is_refused(frame: bytes, problem: str) -> None:
    size = struct.unpack_from("<I", frame, 1)[0] if len(frame) > 5 and problem != REFUSED["another size"][1] else 4
    with pytest.raises(CollectiveError, match=problem):
        decode(frame, size)


@pytest.mark.parametrize("tag", [codec.tag for codec in CODECS])
def test_a_count_without_entries_takes_no_memory(tag: int) -> None:
    size = 2**31 - 1
    with pytest.raises(CollectiveError):
        decode(frame_of(tag, size, HALF, size, b"\0" * 20), size)

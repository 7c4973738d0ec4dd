"""An update as one frame of bytes, in the form that is shortest for it.

A frame is a byte that names the codec, and the number of parameters (4 bytes). A sparse update goes on with the threshold (the upper 2
bytes of a float32), the number of entries (4 bytes) and the codec's payload; a dense one with its float32 values. All numbers are
little-endian. What comes from another machine is not trusted: a frame that isn't wholly as it must be is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from sparkweave.compression.bitmap import Bitmap
from sparkweave.compression.codec import Codec
from sparkweave.compression.huffman import Huffman
from sparkweave.compression.quantize import usable_threshold
from sparkweave.compression.rice import Rice
from sparkweave.compression.sparse import Sparse
from sparkweave.compression.update import DenseUpdate, SparseUpdate, Update
from sparkweave.errors import CollectiveError

CODECS: tuple[Codec, ...] = (Sparse(), Rice(), Huffman(), Bitmap())
DENSE_TAG = 0
_START = struct.Struct("<BI")
_SPARSE = struct.Struct("<HI")
_MOST_PARAMETERS = 2**31 - 1


def encode(update: Update, codecs: Sequence[Codec] = CODECS) -> bytes:
    """The shortest frame that one of ``codecs`` makes of a sparse update, or the frame of a dense one.

    It is never longer than 11 bytes and 2 bits a parameter, or 5 bytes and 32 bits a parameter where it is dense.
    """
    if isinstance(update, DenseUpdate):
        return _START.pack(DENSE_TAG, update.size) + update.values.astype("<f4").tobytes()
    codec = min(codecs, key=lambda codec: codec.length(update)) if len(codecs) > 1 else codecs[0]
    threshold = int(np.float32(update.threshold).view(np.uint32)) >> 16
    return _START.pack(codec.tag, update.size) + _SPARSE.pack(threshold, update.count) + codec.encode(update)


def decode(frame: bytes, size: int) -> Update:
    """The update of ``size`` parameters that ``frame`` holds.

    Raises:
        CollectiveError: if it is damaged, or of another number of parameters.
    """
    try:
        return _decode(frame, size)
    except (ValueError, struct.error) as error:
        raise CollectiveError(
            f"a peer sent an update of {len(frame)} bytes that can't be read ({error}); do all workers run the same "
            "version of sparkweave?"
        ) from error


def _decode(frame: bytes, size: int) -> Update:
    tag, parameters = _START.unpack_from(frame)
    if parameters != size or size > _MOST_PARAMETERS:
        raise ValueError(f"it is of {parameters} parameters, and there are {size}")
    if tag == DENSE_TAG:
        return DenseUpdate(_dense_values(frame[_START.size :], size))
    codec = next((codec for codec in CODECS if codec.tag == tag), None)
    if codec is None:
        raise ValueError(f"no codec has the number {tag}")
    bits, count = _SPARSE.unpack_from(frame, _START.size)
    threshold = float(np.uint32(bits << 16).view(np.float32))
    if not np.isfinite(threshold) or threshold <= 0 or usable_threshold(threshold) != threshold:
        raise ValueError(f"its threshold is {threshold}")
    if count > size:
        raise ValueError(f"{count} of {size} parameters change")
    indices, negative = codec.decode(frame[_START.size + _SPARSE.size :], size, count)
    if count and not (indices[0] >= 0 and indices[-1] < size and bool((np.diff(indices) > 0).all())):
        raise ValueError(f"its indices do not rise from 0 to below {size}")
    return SparseUpdate(size, threshold, indices, negative)


def _dense_values(payload: bytes, size: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if len(payload) != 4 * size:
        raise ValueError(f"{size} values take {4 * size} bytes, and there are {len(payload)}")
    values = np.frombuffer(payload, "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    return values

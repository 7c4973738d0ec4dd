"""The contract of codecs: an update as bytes, and back."""

from __future__ import annotations

from typing import ClassVar, Protocol

from sparkweave.compression.update import Indices, Signs, SparseUpdate


class Codec(Protocol):
    """One way to write down which entries of a sparse update change, and which of them fall.

    Attributes:
        name: For people.
        tag: The first byte of its frames.
    """

    name: ClassVar[str]
    tag: ClassVar[int]

    def length(self, update: SparseUpdate) -> int:
        """How many bytes `encode` returns."""

    def encode(self, update: SparseUpdate) -> bytes:
        """The payload of a frame."""

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """The ``count`` indices below ``size``, and which are negative.

        Raises:
            ValueError: if ``payload`` is none that `encode` returns; its text says why.
        """

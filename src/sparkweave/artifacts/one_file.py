"""Something for other programs in one file on this machine's disk: whole or not at all, and in nobody's way."""

from __future__ import annotations

import dataclasses
import os

from sparkweave.artifacts import swap
from sparkweave.artifacts.storage import LOCAL
from sparkweave.errors import ArtifactError

_HEAD_BYTES = 2048


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneFile:
    """A kind of file.

    Attributes:
        signature: By which a file of ours is known; it stands near the beginning.
        writer: The command that writes it.
    """

    signature: bytes
    writer: str

    def check(self, path: str, *, overwrite: bool = False) -> str:
        """The full path of a file that is to be written, if nothing is in its way.

        Raises:
            ArtifactError: if something is there and ``overwrite`` is false, or it is no such file; or the path isn't local.
        """
        full = LOCAL.resolve(path)
        kind = LOCAL.kind(full)
        if kind is None:
            return full
        if kind != "file":
            raise ArtifactError(f"{path} is a {kind if kind == 'folder' else 'device'}; give the name of a file")
        if not overwrite:
            raise ArtifactError(f"{path} already exists; choose another path, or replace it (--overwrite)")
        with open(full, "rb") as file:
            if self.signature not in file.read(_HEAD_BYTES):
                raise ArtifactError(
                    f"{path}: what is here was not written by {self.writer}, and is not replaced; choose another path"
                )
        return full

    def write(self, path: str, content: bytes, *, overwrite: bool = False) -> str:
        """Writes ``content``, and returns its full path. Folders above it are made.

        Raises:
            ArtifactError: if something is in the way, or the disk refuses.
        """
        full = self.check(path, overwrite=overwrite)
        try:
            LOCAL.make_folder(os.path.dirname(full))
            with swap.replacing(full, LOCAL) as staging:
                LOCAL.write(staging, content)
                self.check(path, overwrite=overwrite)  # nobody else's since
        except OSError as error:
            raise ArtifactError(f"{path} was not written: {error.strerror or error}; choose another path") from error
        return full

"""The page as a file on this machine's disk; see `sparkweave.artifacts.one_file`."""

from __future__ import annotations

from sparkweave.artifacts.one_file import OneFile

SIGNATURE = b'<meta name="generator" content="sparkweave'
"""By which a page of ours is known; it stands near the beginning."""

_PAGE = OneFile(signature=SIGNATURE, writer="sparkweave report")


def check_page(path: str, *, overwrite: bool = False) -> str:
    """See `OneFile.check`."""
    return _PAGE.check(path, overwrite=overwrite)


def write_page(path: str, page: str, *, overwrite: bool = False) -> str:
    """See `OneFile.write`."""
    return _PAGE.write(path, page.encode(), overwrite=overwrite)

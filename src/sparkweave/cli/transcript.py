"""A driver in the cluster keeps what it prints where the submitting machine reads it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from sparkweave.cli.console import mirrored, say
from sparkweave.deploy.submission import CONSOLE_VARIABLE
from sparkweave.deploy.transcript import TranscriptWriter
from sparkweave.errors import SparkweaveError


@contextlib.contextmanager
def transcript_kept() -> Iterator[Callable[[int], None]]:
    """Keeps what is printed inside at the URL that `sparkweave submit` set; gives the function to end with, for the exit code."""
    url = os.environ.get(CONSOLE_VARIABLE)
    if not url:
        yield lambda _code: None
        return
    try:
        store = _store_at(url)
    except (OSError, SparkweaveError) as error:
        say(f"What is printed here can't be kept at {url} for the submitting machine ({error})")
        yield lambda _code: None
        return
    writer = TranscriptWriter(store)
    with mirrored(writer.add):
        yield writer.close


def _store_at(url: str) -> Callable[[bytes], None]:
    from sparkweave.spark.hadoop import Hadoop
    from sparkweave.spark.storage import HadoopStorage

    storage = HadoopStorage(Hadoop.of_gateway())
    path = storage.resolve(url)
    storage.make_folder(os.path.dirname(path))

    def store(content: bytes) -> None:
        partial = f"{path}.partial"
        storage.remove(partial)
        storage.write(partial, content)
        storage.rename(partial, path)

    return store

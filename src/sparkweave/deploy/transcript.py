"""What a driver in the cluster prints, as a small file that is written anew now and then, for the submitting machine to print too.

A JSON object: ``first``, the number of the first line that is kept; ``lines``, each ``[stream, text]`` with ``out`` or ``err``;
``exit_code``, null until the end.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import deque
from collections.abc import Callable

from sparkweave.errors import ArtifactError

_KEPT_LINES = 5_000
_LINE_CHARACTERS = 100_000
_PAUSE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transcript:
    """What was printed so far."""

    first: int
    lines: tuple[tuple[str, str], ...]
    exit_code: int | None

    @classmethod
    def parse(cls, content: bytes) -> Transcript:
        """Reads what `TranscriptWriter` wrote.

        Raises:
            ArtifactError: if it is something else.
        """
        try:
            record = json.loads(content)
            lines = tuple((str(stream), str(text)) for stream, text in record["lines"])
            code = record["exit_code"]
            return cls(first=int(record["first"]), lines=lines, exit_code=None if code is None else int(code))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ArtifactError(f"the driver's transcript is damaged ({error})") from error

    def after(self, count: int) -> tuple[tuple[str, str], ...]:
        """The lines that come after the first ``count``."""
        return self.lines[max(0, count - self.first) :]


class TranscriptWriter:
    """Collects lines, and stores them every few seconds while there are new ones."""

    def __init__(self, store: Callable[[bytes], None]) -> None:
        """Starts.

        Args:
            store: Keeps the file's new content; an OSError of its is borne: the run does not depend on it.
        """
        self._store = store
        self._lines: deque[tuple[str, str]] = deque(maxlen=_KEPT_LINES)
        self._count = 0
        self._stored = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, name="sparkweave-transcript", daemon=True)
        self._thread.start()

    def add(self, stream: str, text: str) -> None:
        """One more line (or several at once) of ``out`` or ``err``."""
        with self._lock:
            self._lines.append((stream, text[:_LINE_CHARACTERS]))
            self._count += 1

    def close(self, exit_code: int) -> None:
        """Stores the rest with the command's exit code."""
        self._ended.set()
        self._thread.join()
        self._write(exit_code)

    def _write_now_and_then(self) -> None:
        while not self._ended.wait(_PAUSE_SECONDS):
            if self._count > self._stored:
                self._write(None)

    def _write(self, exit_code: int | None) -> None:
        with self._lock:
            lines, count = list(self._lines), self._count
        record = {"first": count - len(lines), "lines": lines, "exit_code": exit_code}
        try:
            self._store(json.dumps(record).encode())
        except OSError:
            return
        self._stored = count

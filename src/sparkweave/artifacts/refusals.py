"""Models that were looked at and can't be used, and when one of them is worth another look.

What is wrong with the content is wrong until the content changes. What the disk, the network or the memory refused says nothing about
the model: it is tried again, after a pause that doubles.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from sparkweave.errors import SparkweaveError

Name = TypeVar("Name")
_LONGEST_PAUSE_SECONDS = 60.0
_TORCH_OUT_OF_MEMORY = "DefaultCPUAllocator"  # what torch's RuntimeError has in its message, for want of a MemoryError


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Refusal:
    seal: object
    reason: str
    pause: float
    due: float


class Refusals(Generic[Name]):
    """Why models are not used, by name, and which of them to try again.

    >>> refusals = Refusals(pause_seconds=2.0)
    >>> refusals.add("000002.zip", b"its seal", ValueError("no model"))
    'ValueError: no model'
    >>> refusals.is_due("000002.zip", b"its seal"), refusals.is_due("000002.zip", b"another")
    (False, True)
    """

    def __init__(self, *, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is refused yet.

        Args:
            pause_seconds: Before the second try of what may pass.
            clock: Tells the time in seconds.
        """
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._known: dict[Name, _Refusal] = {}

    @property
    def reasons(self) -> Mapping[Name, str]:
        """Why each is refused."""
        return {name: refusal.reason for name, refusal in self._known.copy().items()}

    def is_due(self, name: Name, seal: object) -> bool:
        """Whether a model is worth a look: always, unless it was refused with this seal."""
        known = self._known.get(name)
        return known is None or known.seal != seal or self._clock() >= known.due

    def add(self, name: Name, seal: object, error: Exception) -> str | None:
        """Refuses a model until its seal changes, or for a while if the error may pass.

        Returns:
            The reason, or None where it was the same before: it is said once, not at each try.
        """
        known = self._known.get(name)
        reason = str(error) if isinstance(error, SparkweaveError) else f"{type(error).__name__}: {error}"
        pause, due = self._pause_seconds, math.inf
        if may_pass(error):
            reason += " (it is tried again)"
            pause = min(2 * known.pause, _LONGEST_PAUSE_SECONDS) if known else self._pause_seconds
            due = self._clock() + pause
        self._known[name] = _Refusal(seal=seal, reason=reason, pause=pause, due=due)
        is_news = known is None or (known.seal, known.reason) != (seal, reason)
        return reason if is_news else None

    def keep(self, names: Collection[Name]) -> None:
        """Forgets all models but these."""
        self._known = {name: refusal for name, refusal in self._known.items() if name in names}

    def forget(self, name: Name) -> None:
        """Forgets a model, because it is used now."""
        self._known.pop(name, None)


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is the disk's, the network's or the memory's rather than the content's."""
    while error is not None:
        if isinstance(error, OSError | MemoryError) or _TORCH_OUT_OF_MEMORY in str(error):
            return True
        error = error.__cause__
    return False

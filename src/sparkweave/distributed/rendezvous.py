"""A key-value store for `torch.distributed` without a server or a port of its own.

gloo's ranks publish their addresses under their own keys and then read everybody else's. So one all-gather of what each
has published is a rendezvous, and the caller chooses what carries it: on Spark it is ``BarrierTaskContext.allGather``,
which runs inside Spark's own authenticated RPC. torch's TCPStore would listen on every interface, unauthenticated.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import torch.distributed as dist

from sparkweave.distributed.exchange import Exchange
from sparkweave.errors import CollectiveError


class ExchangeStore(dist.Store):  # type: ignore[name-defined, misc]
    """A store whose contents are exchanged when a rank asks for a key that it does not know yet.

    Args:
        exchange: The all-gather of strings.
        publish_at_once: Exchange in `set` already. NCCL's rank 0 only publishes and never asks,
            so it must join the exchange that the others enter in `get`.
    """

    def __init__(self, exchange: Exchange, *, publish_at_once: bool = False) -> None:
        super().__init__()
        self._exchange = exchange
        self._publish_at_once = publish_at_once
        self._known: dict[str, bytes] = {}
        self._unpublished: dict[str, str] = {}
        self._timeout = timedelta(minutes=5)

    def set(self, key: str, value: bytes | str) -> None:
        """Keeps ``value`` for the next exchange."""
        data = value.encode() if isinstance(value, str) else bytes(value)
        self._known[key] = data
        self._unpublished[key] = base64.b64encode(data).decode()
        if self._publish_at_once:
            self._meet()

    def get(self, key: str) -> bytes:
        """The value of ``key``, after an exchange if it isn't known yet.

        Raises:
            CollectiveError: if no rank has published it.
        """
        if key not in self._known:
            self._meet()
        if key not in self._known:
            raise CollectiveError(f"no worker published the rendezvous key {key!r}; do all run the same torch version?")
        return self._known[key]

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Returns once all ``keys`` are known."""
        for key in keys:
            self.get(key)

    def check(self, keys: list[str]) -> bool:
        """Whether all ``keys`` are known here."""
        return all(key in self._known for key in keys)

    def add(self, key: str, amount: int) -> int:
        """Adds to a counter of this rank; gloo counts nothing across ranks."""
        count = int(self._known.get(key, b"0")) + amount
        self._known[key] = str(count).encode()
        return count

    def delete_key(self, key: str) -> bool:
        """Forgets ``key`` here."""
        return self._known.pop(key, None) is not None

    def set_timeout(self, timeout: timedelta) -> None:
        """Kept for torch; the exchange has its own timeout."""
        self._timeout = timeout

    def _meet(self) -> None:
        for text in self._exchange(json.dumps(self._unpublished)):
            self._known.update({key: base64.b64decode(value) for key, value in json.loads(text).items()})
        self._unpublished = {}

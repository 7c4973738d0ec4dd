"""Collectives through an all-gather of strings: no connection between workers, and no port.

On Spark that is ``BarrierTaskContext.allGather``: through Spark's own RPC to the driver and back to each worker, authenticated and
encrypted as the session's settings say. The price is time, and the driver's work. Spark looks only once a second whether its
answer has come (``Thread.sleep(1000)``), so an operation takes 1 s and what its bytes add (0.03 s for 5 MB between two workers of
one idle machine); and the driver hands ``world_size`` tensors to each of ``world_size`` workers. So it suits strategies that talk
seldom: `ParameterAveraging` with a frequency of a hundred steps rather than five.
"""

from __future__ import annotations

import base64
import contextlib
import queue
import threading
import time
from collections.abc import Iterator

import torch

from sparkweave.distributed.collective import sum_in_order
from sparkweave.distributed.exchange import Exchange
from sparkweave.errors import CollectiveError

_RELAYED_BYTES = 128 << 20


class ExchangeCollective:
    """One rank of a gang that talks through an exchange. See `exchange_collective`."""

    def __init__(self, exchange: Exchange, rank: int, world_size: int, *, relayed_bytes: int = _RELAYED_BYTES) -> None:
        """Exchanges nothing yet.

        Args:
            exchange: Must raise `CollectiveError` if it can't be done.
            rank: This worker, from 0.
            world_size: How many workers there are.
            relayed_bytes: The most bytes that the driver is to hold for all its answers to one exchange.
        """
        self.rank = rank
        self.world_size = world_size
        self.bytes_sent = 0
        self.bytes_received = 0
        self.seconds = 0.0
        self._exchange = exchange
        self._chunk = max(relayed_bytes * 3 // 4 // world_size**2, 1)

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """See `Collective.empty`."""
        return torch.empty(size, dtype=dtype, device=device)

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """See `Collective.all_reduce`."""
        tensor.copy_(sum_in_order(self.all_gather(tensor)))

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """See `Collective.all_gather`."""
        content = tensor.detach().to("cpu").contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        parts = self.all_gather_bytes(content)
        return [_as_tensor(part, tensor) for part in parts]

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        """See `Collective.all_gather_bytes`."""
        began = time.perf_counter()
        frames = self._gather(frame) if self.world_size > 1 else [frame]
        self.seconds += time.perf_counter() - began
        self.bytes_sent += len(frame) if self.world_size > 1 else 0
        self.bytes_received += sum(map(len, frames)) - len(frame)
        return frames

    def _gather(self, frame: bytes) -> list[bytes]:
        """Chunk by chunk, until the longest frame is through; each message begins with its frame's length."""
        frames = [bytearray() for _ in range(self.world_size)]
        start, longest = 0, 1
        while start < longest:
            chunk = base64.b64encode(frame[start : start + self._chunk]).decode()
            for rank, text in enumerate(self._exchange(f"{len(frame)}:{chunk}")):
                length, _, encoded = text.partition(":")
                longest = max(longest, int(length))
                frames[rank] += base64.b64decode(encoded)
            start += self._chunk
        return [bytes(received) for received in frames]


@contextlib.contextmanager
def exchange_collective(
    exchange: Exchange, *, rank: int, world_size: int, timeout_seconds: float
) -> Iterator[ExchangeCollective]:
    """Joins a gang that talks through ``exchange``, once all its workers are there.

    Args:
        exchange: Carries everything; whatever it raises means that a peer is lost.
        rank: This worker, from 0.
        world_size: How many workers there are.
        timeout_seconds: How long an operation waits for a silent peer. The first meeting waits for as long as it takes.

    Raises:
        CollectiveError: if a peer is gone.
    """
    if world_size > 1:
        _lossy(exchange, rank)("")
    yield ExchangeCollective(_limited(_lossy(exchange, rank), rank, timeout_seconds), rank, world_size)


def _lossy(exchange: Exchange, rank: int) -> Exchange:
    """The exchange, with its errors, which are documented nowhere, as `CollectiveError`."""

    def explained(text: str) -> list[str]:
        try:
            return exchange(text)
        except Exception as error:
            raise CollectiveError(
                f"rank {rank} lost the connection to its peers through Spark ({error!r:.200})"
            ) from error

    return explained


def _limited(exchange: Exchange, rank: int, seconds: float) -> Exchange:
    """The exchange, given up after so long; what waits for it ends with the worker's process."""

    def exchange_in_time(text: str) -> list[str]:
        answers: queue.SimpleQueue[list[str] | CollectiveError] = queue.SimpleQueue()
        threading.Thread(target=_put, args=(exchange, text, answers), name="sparkweave-exchange", daemon=True).start()
        try:
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            raise CollectiveError(
                f"rank {rank} waited {seconds:g} s for a peer that stayed silent; raise --collective-timeout if steps may take "
                "that long"
            ) from None
        if isinstance(answer, CollectiveError):
            raise answer
        return answer

    return exchange_in_time


def _put(exchange: Exchange, text: str, answers: queue.SimpleQueue[list[str] | CollectiveError]) -> None:
    try:
        answers.put(exchange(text))
    except CollectiveError as error:
        answers.put(error)


def _as_tensor(content: bytes, like: torch.Tensor) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(content), dtype=like.dtype) if content else torch.empty(0, dtype=like.dtype)
    return flat.view(like.shape).to(like.device)

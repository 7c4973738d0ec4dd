"""Collectives by `torch.distributed`: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

from sparkweave.distributed.collective import sum_in_order
from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.forwarding import ForwardedStore, Forwarder
from sparkweave.distributed.interface import CHOSEN_BY_NODE, Interface, choose_interface
from sparkweave.distributed.network import DIRECT, Network, Ports, show_ports
from sparkweave.distributed.probing import ProbingExchange, announced
from sparkweave.distributed.rendezvous import ExchangeStore
from sparkweave.distributed.shared_memory import SharedMemory
from sparkweave.errors import CollectiveError, ResourceError

_INTERFACE_VARIABLES = (CHOSEN_BY_NODE, "NCCL_SOCKET_IFNAME")

_LENGTH_BYTES = 8
_LEAST_CAPACITY = 256


class TorchCollective:
    """One rank of torch's default process group. See `torch_collective`."""

    def __init__(self, rank: int, world_size: int, device: torch.device, timeout_seconds: float) -> None:
        self.rank = rank
        self.world_size = world_size
        self.bytes_sent = 0
        self.bytes_received = 0
        self._device = device
        self._capacity = _LEAST_CAPACITY
        self.seconds = 0.0
        self._timeout_seconds = timeout_seconds
        self._shared = SharedMemory(rank, world_size, timeout_seconds)

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """See `Collective.empty`."""
        shared = None
        if device.type == "cpu" and self.world_size > 1:
            with self._measured(0, 0):
                shared = self._shared.empty(size, dtype)
        return torch.empty(size, dtype=dtype, device=device) if shared is None else shared

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """See `Collective.all_reduce`."""
        with self.summing() as count:
            count(tensor.nbytes)
            if self._shared.holds(tensor):
                self._shared.all_reduce(tensor)
            elif self.world_size > 2 and tensor.device.type == "cpu":
                _all_reduce_in_order(tensor, self.world_size)
            else:
                dist.all_reduce(tensor)

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """See `Collective.all_gather`."""
        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        size = tensor.nbytes * (self.world_size - 1)
        with self._measured(size, size):
            dist.all_gather(parts, tensor)
        return parts

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        """See `Collective.all_gather_bytes`.

        Every rank sends its frame's length and as many bytes as the frames before suggest; only where that falls short of the
        longest frame does a second operation send the rest.
        """
        if self.world_size == 1:
            return [frame]
        head = self._capacity
        heads = self._gather_padded(len(frame).to_bytes(_LENGTH_BYTES, "little") + frame[:head], _LENGTH_BYTES + head)
        lengths = [int.from_bytes(part[:_LENGTH_BYTES], "little") for part in heads]
        longest = max(lengths)
        tails = self._gather_padded(frame[head:], longest - head) if longest > head else [b""] * self.world_size
        # It falls slowly, so that frames that vary in length seldom need a second operation.
        self._capacity = max(_LEAST_CAPACITY, longest + longest // 16, head - head // 32)
        whole = (first[_LENGTH_BYTES:] + rest for first, rest in zip(heads, tails, strict=True))
        return [part[:length] for part, length in zip(whole, lengths, strict=True)]

    def close(self) -> None:
        """Leaves the gang: peers that wait for this worker are told."""
        self._shared.close()

    def _gather_padded(self, content: bytes, size: int) -> list[bytes]:
        sent = torch.zeros(size, dtype=torch.uint8)
        if content:
            sent[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        parts = self.all_gather(sent.to(self._device))
        return [part.cpu().numpy().tobytes() for part in parts]

    @contextlib.contextmanager
    def summing(self) -> Iterator[Callable[[int], None]]:
        """Where operations of torch's own sum tensors over all ranks: explains their errors, and is told their bytes.

        Raises:
            CollectiveError: if a peer is silent or gone.
        """
        with self._measured(0, 0):
            yield self._count_sum

    def _count_sum(self, size: int) -> None:
        exchanged = 2 * size * (self.world_size - 1) // self.world_size
        self.bytes_sent += exchanged
        self.bytes_received += exchanged

    @contextlib.contextmanager
    def _measured(self, sent: int, received: int) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:  # gloo's and NCCL's: documented nowhere more precisely
            raise _explained(error, self.rank, self._timeout_seconds) from error
        self.seconds += time.perf_counter() - began
        self.bytes_sent += sent
        self.bytes_received += received


@contextlib.contextmanager
def torch_collective(
    exchange: Exchange,
    *,
    rank: int,
    world_size: int,
    device: torch.device,
    timeout_seconds: float,
    towards: str,
    network: Network = DIRECT,
) -> Iterator[TorchCollective]:
    """Forms a process group, once all workers have been found to reach each other, and takes it down again whatever happens.

    Args:
        exchange: Carries the rendezvous, see `ExchangeStore`.
        rank: This worker, from 0.
        world_size: How many workers there are.
        device: Where the tensors are: NCCL is used for CUDA devices, gloo otherwise.
        timeout_seconds: How long an operation waits for a silent peer.
        towards: A host that all workers can reach (the driver): the interface that leads there is used.
        network: May ask for another interface, and for certain ports.

    Raises:
        ResourceError: if what ``network`` asks for can't be had on this host.
        UnreachableError: if this worker can't reach another one.
        CollectiveError: if the workers lose each other.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "nccl" and network.ports is not None and world_size > 1:
        raise ResourceError(
            f"the ports are to be {show_ports(network.ports)}, and NCCL, which connects workers on GPUs, can't be kept to a range; "
            "leave --port out (--controller HOST:PORT sets the driver's), or train with --transport spark"
        )
    interface = choose_interface(network.subnet, towards)
    with _talking_over(interface, whatever_the_node_says=network.subnet is not None):
        with _rendezvous(
            exchange, network.ports, interface, rank, world_size, publish_at_once=backend == "nccl" and rank == 0
        ) as store:
            try:
                dist.init_process_group(
                    backend,
                    store=store,
                    rank=rank,
                    world_size=world_size,
                    timeout=timedelta(seconds=timeout_seconds),
                    device_id=device if backend == "nccl" else None,
                )
            except RuntimeError as error:
                raise _explained(error, rank, timeout_seconds) from error
        try:
            with contextlib.closing(TorchCollective(rank, world_size, device, timeout_seconds)) as collective:
                yield collective
        finally:
            dist.destroy_process_group()


def _all_reduce_in_order(tensor: torch.Tensor, world_size: int) -> None:
    """Gloo's own sum of more than two tensors begins at another rank in each stretch of them."""
    stretch = -(-tensor.numel() // world_size)
    sent = torch.zeros(world_size * stretch, dtype=tensor.dtype)
    sent[: tensor.numel()] = tensor.flatten()
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    dist.all_gather_into_tensor(sent, sum_in_order(list(received.view(world_size, stretch))))
    tensor.copy_(sent[: tensor.numel()].view_as(tensor))


@contextlib.contextmanager
def _rendezvous(
    exchange: Exchange,
    ports: Ports | None,
    interface: Interface | None,
    rank: int,
    world_size: int,
    *,
    publish_at_once: bool,
) -> Iterator[ExchangeStore]:
    """A store for workers that call each other when they meet in it."""
    forwarder = None if ports is None else Forwarder()
    with announced(interface, rank=rank, ports=ports, callers=world_size - 1, other=forwarder) as card:
        probing = ProbingExchange(exchange, card, ports)
        if forwarder is None:
            yield ExchangeStore(probing, publish_at_once=publish_at_once)
        else:
            yield ForwardedStore(probing, forwarder, card.address, card.port)


@contextlib.contextmanager
def _talking_over(interface: Interface | None, *, whatever_the_node_says: bool) -> Iterator[None]:
    """Tells gloo and NCCL which interface to use; a worker process serves one run after the other, so it is taken back."""
    before = {name: os.environ.get(name) for name in _INTERFACE_VARIABLES}
    for name in _INTERFACE_VARIABLES:
        if interface is not None and (whatever_the_node_says or name not in os.environ):
            os.environ[name] = interface.name
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _explained(error: Exception, rank: int, timeout_seconds: float) -> CollectiveError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "timed out" in text.lower() or "timeout" in text.lower():
        return CollectiveError(
            f"rank {rank} waited {timeout_seconds:g} s for a peer that stayed silent ({text}); "
            "raise --collective-timeout if steps may take that long"
        )
    return CollectiveError(f"rank {rank} lost the connection to a peer ({text})")

"""Whether all workers reach each other, found out before gloo or NCCL connect them.

Of a peer that can't be reached these say no more than that they waited for it, and that after the timeout of a collective operation.
So each worker listens on the interface that it will use, and calls all others at the same time. Where it listens travels with the
rendezvous: Spark's all-gather takes a second however little it carries (`sparkweave.distributed.exchange_collective`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import secrets
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from sparkweave.distributed.beacon import Other, ask, beacon
from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.interface import Interface
from sparkweave.distributed.network import Ports, show_ports
from sparkweave.errors import UnreachableError

CALL_SECONDS = 10.0
_CALLS_AT_ONCE = 256
_LISTED = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """Where a worker can be called, and what to say.

    Attributes:
        rank: Which worker.
        host: Its machine.
        interface: The name of the interface that it listens on; None if that can't be told.
        address: Its address there.
        port: Where it listens.
        token: What it answers to.
    """

    rank: int
    host: str
    interface: str | None
    address: str
    port: int
    token: str = dataclasses.field(repr=False)

    @property
    def place(self) -> str:
        """For messages: ``eth0 10.27.0.4``."""
        return f"{self.interface or 'unknown interface'} {self.address}"


@contextlib.contextmanager
def announced(
    interface: Interface | None,
    *,
    rank: int,
    ports: Ports | None = None,
    callers: int = 0,
    other: Other | None = None,
) -> Iterator[Card]:
    """Answers calls of other workers while the context lasts.

    Args:
        interface: Where to listen.
        rank: This worker, from 0.
        ports: From which to take one; None leaves it to the system.
        callers: How many must have called before it ends well.
        other: Is handed the connections of others.

    Raises:
        ResourceError: if no port of ``ports`` can be had.
    """
    address = _usual_address() if interface is None else interface.address
    name, token = None if interface is None else interface.name, secrets.token_hex(16)
    with beacon(address, token, ports, other) as called:
        host = socket.gethostname()
        yield Card(rank=rank, host=host, interface=name, address=address, port=called.port, token=token)
        called.await_callers(callers, seconds=CALL_SECONDS)


def call(cards: Sequence[Card], *, seconds: float = CALL_SECONDS) -> list[dict[str, Any]]:
    """What `sparkweave.distributed.beacon.ask` returns for each of ``cards``, all called at the same time."""
    if not cards:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(len(cards), _CALLS_AT_ONCE)) as pool:
        return list(pool.map(lambda card: ask(card.address, card.port, card.token, seconds=seconds), cards))


class ProbingExchange:
    """An exchange whose first use brings every worker to call all others."""

    def __init__(
        self, exchange: Exchange, own: Card, ports: Ports | None = None, *, seconds: float = CALL_SECONDS
    ) -> None:
        """Exchanges nothing yet.

        Args:
            exchange: Carries it.
            own: This worker's, which must be `announced` until all have called.
            ports: From which ports were taken, for the message.
            seconds: How long an answer is waited for.
        """
        self._exchange = exchange
        self._own = own
        self._ports = ports
        self._seconds = seconds
        self._has_called = False

    def __call__(self, text: str) -> list[str]:
        """See `Exchange`.

        Raises:
            UnreachableError: if this worker can't reach another one.
        """
        if self._has_called:
            return self._exchange(text)
        replies = [json.loads(reply) for reply in self._exchange(json.dumps([dataclasses.asdict(self._own), text]))]
        self._has_called = True
        self._call_all([Card(**card) for card, _ in replies if card["rank"] != self._own.rank])
        return [text for _, text in replies]

    def _call_all(self, cards: Sequence[Card]) -> None:
        answers = call(cards, seconds=self._seconds)
        failed = [(card, answer["error"]) for card, answer in zip(cards, answers, strict=True) if answer["error"]]
        if failed:
            raise UnreachableError(self._explained(failed))

    def _explained(self, failed: Sequence[tuple[Card, str]]) -> str:
        within = f" within {self._seconds:g} s"
        listed = "; nor ".join(
            f"worker {card.rank} on {card.host} ({card.place}, port {card.port}){within}: {error}"
            for card, error in failed[:_LISTED]
        )
        more = f"; nor {len(failed) - _LISTED} more" if len(failed) > _LISTED else ""
        opened = "all TCP ports" if self._ports is None else f"the TCP ports {show_ports(self._ports)}"
        return (
            f"worker {self._own.rank} on {self._own.host} ({self._own.place}) could not reach {listed}{more}. "
            f"Open {opened} between the hosts, choose another network between them with --subnet, or "
            "train with --transport spark, which needs no connection between workers"
        )


def _usual_address() -> str:
    """What gloo takes where it is told nothing: the address of this machine's name, if it is its own."""
    with contextlib.suppress(OSError):
        address = socket.gethostbyname(socket.gethostname())
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
        return address
    return "127.0.0.1"

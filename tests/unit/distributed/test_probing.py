"""Whether workers reach each other: threads instead of tasks."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Callable

import pytest
from tests.unit.distributed.exchanges import in_threads

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.interface import Interface
from sparkweave.distributed.network import Ports
from sparkweave.distributed.probing import Card, ProbingExchange, announced, call
from sparkweave.errors import UnreachableError
from sparkweave.testing.ports import free_ports

LOOPBACK = Interface(name="lo", address="127.0.0.1")
Change = Callable[[Card], Card]


def met(world_size: int, change: Change = lambda card: card, ports: Ports | None = None) -> list[object]:
    """What each rank got from an exchange; ``change`` is what happens to a worker's card on the way."""

    def meet(rank: int, exchange: Exchange) -> object:
        with announced(LOOPBACK, rank=rank, callers=0) as card:
            probing = ProbingExchange(exchange, change(card), ports, seconds=0.5)
            outcome: object
            try:
                outcome = probing(f"from {rank}")
            except UnreachableError as error:
                outcome = error
            exchange("nobody stops listening before all have called")
            return outcome

    return list(in_threads(world_size, meet))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_first_exchange_brings_all_to_call_each_other_and_changes_no_text(world_size: int) -> None:
    assert met(world_size) == [[f"from {rank}" for rank in range(world_size)]] * world_size


def test_only_the_first_exchange_probes() -> None:
    with announced(LOOPBACK, rank=0) as card:
        sent: list[str] = []
        probing = ProbingExchange(lambda text: sent.append(text) or [text], card)  # type: ignore[func-returns-value]
        assert [probing("one"), probing("two")] == [["one"], ["two"]]
    assert card.token in sent[0]
    assert sent[1] == "two"


def test_a_port_that_takes_connections_and_never_answers_is_found_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as swallowing:
        port = swallowing.getsockname()[1]
        first, *_ = errors = met(3, lambda card: dataclasses.replace(card, port=port) if card.rank == 1 else card)
    assert [type(error) for error in errors if isinstance(error, UnreachableError)] == [UnreachableError] * 2
    name = socket.gethostname()
    assert str(first) == (
        f"worker 0 on {name} (lo 127.0.0.1) could not reach worker 1 on {name} (lo 127.0.0.1, port {port}) within 0.5 s: timed out. "
        "Open all TCP ports between the hosts, choose another network between them with --subnet, or train with --transport spark, "
        "which needs no connection between workers"
    )


def test_an_address_that_nobody_has_and_a_range_of_ports_are_named() -> None:
    (closed,) = free_ports(1)
    _, second = met(2, lambda card: dataclasses.replace(card, port=closed) if card.rank == 0 else card, (47000, 47100))
    assert isinstance(second, UnreachableError)
    assert f"port {closed}) within 0.5 s: Connection refused. Open the TCP ports 47000-47100 between the hosts" in str(
        second
    )


def test_of_many_that_can_not_be_reached_a_few_are_named() -> None:
    (closed,) = free_ports(1)
    error, *_ = met(6, lambda card: dataclasses.replace(card, port=closed) if card.rank else card)
    text = str(error)
    assert text.count("Connection refused") == 3
    assert "; nor worker 2 on " in text
    assert "; nor 2 more. Open" in text


def test_another_gangs_worker_is_not_taken_for_a_peer() -> None:
    with announced(LOOPBACK, rank=0) as one, announced(LOOPBACK, rank=0) as other:
        (answer,) = call([dataclasses.replace(one, port=other.port)])
    assert answer["error"] is not None


def test_who_is_announced_goes_on_answering_until_all_others_have_called() -> None:
    asked = []

    def ask(rank: int, exchange: Exchange) -> None:
        if rank == 0:
            with announced(LOOPBACK, rank=rank, callers=1) as card:
                exchange(json.dumps(dataclasses.asdict(card)))
            return
        card = Card(**json.loads(exchange("")[0]))
        asked.extend(call([card]))

    assert in_threads(2, ask) == [None, None]
    assert asked[0]["error"] is None


def test_a_worker_listens_in_the_range_and_on_the_interface_that_are_asked_for() -> None:
    (port,) = free_ports(1)
    with announced(LOOPBACK, rank=3, ports=(port, port)) as card:
        assert (card.rank, card.port, card.place) == (3, port, "lo 127.0.0.1")
    with announced(None, rank=0) as card:
        assert call([card])[0]["error"] is None
        assert card.place.startswith("unknown interface ")


def test_what_a_worker_answers_to_is_not_shown() -> None:
    with announced(LOOPBACK, rank=0) as card:
        assert card.token not in repr(card)

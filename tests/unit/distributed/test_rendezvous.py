"""A store whose contents are exchanged."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from tests.unit.distributed.exchanges import Meeting

from sparkweave.distributed.rendezvous import ExchangeStore
from sparkweave.errors import CollectiveError


def in_threads(*works: object) -> None:
    threads = [threading.Thread(target=work) for work in works]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


def test_one_exchange_makes_all_keys_known() -> None:
    meeting = Meeting(2)
    found: dict[int, tuple[bytes, bytes, bytes]] = {}

    def work(rank: int) -> None:
        store = ExchangeStore(meeting.of(rank))
        store.set(f"address/{rank}", bytes([rank, 255]))
        store.set(f"name/{rank}", f"hôte {rank}")
        found[rank] = store.get("address/0"), store.get("address/1"), store.get(f"name/{1 - rank}")

    in_threads(lambda: work(0), lambda: work(1))
    assert found == {
        0: (b"\x00\xff", b"\x01\xff", "hôte 1".encode()),
        1: (b"\x00\xff", b"\x01\xff", "hôte 0".encode()),
    }
    assert meeting.calls == 2


def test_a_rank_that_only_publishes_meets_those_that_only_ask() -> None:
    meeting = Meeting(2)
    found = []
    publisher = ExchangeStore(meeting.of(0), publish_at_once=True)
    in_threads(lambda: publisher.set("id", b"7"), lambda: found.append(ExchangeStore(meeting.of(1)).get("id")))
    assert found == [b"7"]


def test_ones_own_keys_need_no_exchange() -> None:
    meeting = Meeting(1)
    store = ExchangeStore(meeting.of(0))
    store.set("key", b"value")
    assert store.get("key") == b"value"
    assert store.check(["key"])
    assert not store.check(["key", "other"])
    assert meeting.calls == 0


def test_what_was_exchanged_is_not_sent_again() -> None:
    sent: list[str] = []

    def exchange(text: str) -> list[str]:
        sent.append(text)
        return [text, '{"other": "MQ=="}']

    store = ExchangeStore(exchange)
    store.set("key", b"value")
    store.wait(["other"], timedelta(seconds=1))
    with pytest.raises(CollectiveError):
        store.get("third")
    assert sent == ['{"key": "dmFsdWU="}', "{}"]


def test_a_key_that_nobody_published_is_an_error() -> None:
    store = ExchangeStore(lambda text: [text])
    with pytest.raises(CollectiveError, match="no worker published the rendezvous key 'key'"):
        store.get("key")


def test_counters_count_and_keys_can_be_forgotten() -> None:
    store = ExchangeStore(lambda text: [text])
    assert [store.add("count", amount) for amount in (1, 2, -1)] == [1, 3, 2]
    assert store.delete_key("count")
    assert not store.delete_key("count")

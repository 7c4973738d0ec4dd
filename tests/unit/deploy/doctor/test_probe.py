"""What a worker finds out about itself and its peers: threads instead of tasks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from sparkweave.deploy.doctor.facts import WorkerFacts
from sparkweave.deploy.doctor.probe import examine, find_versions, try_imports, try_reading
from sparkweave.distributed.beacon import beacon

Change = Callable[[int, str], str]
REQUEST: dict[str, Any] = {
    "driver": "127.0.0.1",
    "token": "token",
    "packages": ["numpy"],
    "modules": ["json"],
    "files": [],
    "subnet": None,
    "ports": None,
    "calls_peers": True,
}


def examined(world_size: int, change: Change = lambda _rank, card: card, **request: Any) -> list[WorkerFacts]:
    """All workers' facts, as they come out of JSON; ``change`` is what happens to a worker's card on the way."""
    barrier, cards = Barrier(world_size, timeout=60), [""] * world_size

    def run(rank: int) -> WorkerFacts:
        def exchange(card: str) -> list[str]:
            cards[rank] = change(rank, card) if card else card
            barrier.wait()
            found = list(cards)
            barrier.wait()
            return found

        return WorkerFacts.of(json.loads(json.dumps(examine(asked, rank=rank, exchange=exchange))))

    with beacon("127.0.0.1", "token") as called, ThreadPoolExecutor(world_size) as pool:
        asked = {**REQUEST, "port": called.port, **request}
        return list(pool.map(run, range(world_size)))


def test_every_worker_reaches_the_driver_and_every_other() -> None:
    for rank, worker in enumerate(examined(3)):
        assert worker.driver.error is None
        assert sorted(contact.rank for contact in worker.peers if contact.rank is not None) == [
            r for r in range(3) if r != rank
        ]
        assert [contact.error for contact in worker.peers] == [None, None]
        assert worker.interface == "lo"
        assert worker.failed_imports == {}


def test_a_port_that_is_closed_is_found_by_all_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]

    def move(rank: int, card: str) -> str:
        return json.dumps({**json.loads(card), "port": closed}) if rank == 1 else card

    first, second, third = examined(3, move)
    for worker in (first, third):
        errors = {contact.rank: contact.error for contact in worker.peers}
        assert "refused" in str(errors.pop(1))
        assert list(errors.values()) == [None]
    assert [contact.error for contact in second.peers] == [None, None]


def test_what_can_not_be_had_is_told_and_keeps_nobody_waiting() -> None:
    for worker in examined(2, subnet="192.0.2.240/30"):
        assert worker.cut_off is not None
        assert "has no interface in the subnet 192.0.2.240/30" in worker.cut_off
        assert (worker.interface, worker.port, worker.peers) == (None, None, [])


def test_where_no_connections_between_workers_are_needed_none_are_tried() -> None:
    assert [worker.peers for worker in examined(2, calls_peers=False)] == [[], []]


def test_alone_no_peers_are_called() -> None:
    with beacon("127.0.0.1", "token") as called:
        worker = WorkerFacts.of(examine({**REQUEST, "port": called.port}, rank=0, exchange=None))
    assert worker.peers == []
    assert worker.driver.error is None


def test_imports_that_fail_say_why(tmp_path: Path) -> None:
    assert try_imports(["json", "no_such_module"]) == {
        "no_such_module": "ModuleNotFoundError: No module named 'no_such_module'"
    }


def test_versions_of_what_is_there_and_what_is_not() -> None:
    versions = find_versions(["numpy", "no-such-package"])
    assert versions["numpy"]
    assert versions["no-such-package"] is None


def test_archives_that_can_not_be_read(tmp_path: Path) -> None:
    good, missing = tmp_path / "a.zip", tmp_path / "none.zip"
    good.write_bytes(b"PK")
    local = ("LocalFileSystem", {})
    assert try_reading([(local, [str(good), str(missing)])]) == {str(missing): "No such file or directory"}

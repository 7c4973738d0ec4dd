"""Machines in network namespaces, with shaped links."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit import gangs

from sparkweave.distributed.collective import Collective
from sparkweave.errors import ConfigError
from sparkweave.place import this_place
from sparkweave.strategies import AllReduce
from sparkweave.testing import links
from sparkweave.testing.links import Link, LinkedMachines, discipline, why_impossible

SHAPED = Link(megabits=100)


def skip_without_machines(link: Link | None = None) -> None:
    reason = why_impossible(link)
    if reason is not None:
        pytest.skip(reason)


def await_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(pid)) as process:
        assert select.select([process], [], [], 20.0)[0]


def train_there(collective: Collective, *args: Any) -> tuple[int, str, gangs.Trained]:
    return this_place(), Path("/proc/net/dev").read_text(), gangs.train_rank(collective, *args)


def test_workers_on_machines_train_over_shaped_links_what_threads_train() -> None:
    skip_without_machines(SHAPED)
    task = gangs.make_task(AllReduce(), (9, 8), epochs=1)
    shards = gangs.make_shards((9, 8))
    blobs = gangs.first_state(task).to_blobs()
    with LinkedMachines(2, SHAPED) as machines:
        found = gangs.run_on_machines(machines, 2, train_there, task, shards, blobs)
    places, devices, trained = zip(*gangs.results(found), strict=True)
    assert len({*places, this_place()}) == 3
    assert all("uplink" in text and "eth0" not in text for text in devices)
    assert [blobs for blobs, _ in trained] == [blobs for blobs, _ in gangs.train(task, shards, blobs)]


def seconds_of_four_sums(collective: Collective) -> float:
    one = torch.ones(1)
    collective.all_reduce(one)
    began = time.perf_counter()
    for _ in range(4):
        collective.all_reduce(one)
    return time.perf_counter() - began


def test_a_sum_over_long_links_waits_for_what_was_sent_half_a_round_trip_ago() -> None:
    link = Link(megabits=100, round_trip_ms=60)
    skip_without_machines(link)
    with LinkedMachines(2, link) as machines:
        found = gangs.results(gangs.run_on_machines(machines, 2, seconds_of_four_sums))
    assert all(seconds >= 4 * 0.03 for seconds in found)


def test_long_messages_arrive_whole_over_long_links() -> None:
    link = Link(megabits=1000, round_trip_ms=4)
    skip_without_machines(link)
    with LinkedMachines(2, link) as machines:
        found = gangs.results(gangs.run_on_machines(machines, 2, sum_of_a_million))
    assert found == [2 * sum(range(1 << 10)) * (1 << 10)] * 2


def sum_of_a_million(collective: Collective) -> int:
    numbers = torch.arange(1 << 10).repeat(1 << 10)
    collective.all_reduce(numbers)
    return int(numbers.sum())


def test_nothing_of_the_machines_is_left() -> None:
    link = Link(megabits=100, round_trip_ms=20)
    skip_without_machines(link)
    before = children()
    with LinkedMachines(2, link) as machines:
        made = children() - before
        assert set(machines.keepers) < made
        assert len(made) == 3 + 2  # the keepers and the wires
    assert not made & children()


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()))


def test_the_machines_end_with_the_process_that_made_them() -> None:
    skip_without_machines()
    program = (
        "import os\n"
        "from sparkweave.testing.links import LinkedMachines\n"
        "with LinkedMachines(1) as machines:\n"
        "    print(*machines.keepers, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -9
    for pid in ended.stdout.split():
        await_end(int(pid))


def test_a_host_without_the_commands_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install util-linux" in str(why_impossible())


def test_a_kernel_without_a_discipline_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_machines()
    monkeypatch.setattr(links, "discipline", lambda megabits: ["no-such-discipline"])
    reason = why_impossible(SHAPED)
    assert reason is not None
    assert reason.startswith("'tc qdisc add dev uplink root no-such-discipline' failed in a network namespace: ")


def test_a_short_message_is_not_let_through_at_no_cost() -> None:
    assert discipline(100) == ["tbf", "rate", "100mbit", "burst", "8192", "latency", "100ms"]
    assert discipline(1000)[4] == "62500"


def test_a_wire_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(megabits=100, round_trip_ms=20)
    skip_without_machines(link)
    monkeypatch.setattr(links.wire, "__name__", "no_such_module")
    reason = why_impossible(link)
    assert reason is not None
    assert "No module named no_such_module" in reason


@pytest.mark.parametrize("text", ["100mbit", "100mbit,20ms", "1000mbit,5ms"])
def test_a_link_reads_what_it_writes(text: str) -> None:
    assert str(Link.parse(text)) == text


@pytest.mark.parametrize("text", ["", "none", "100", "100mbit,", "20ms", "0mbit", "100mbit,20ms,1%"])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="100mbit,20ms"):
        Link.parse(text)


@pytest.mark.parametrize("count", [0, 201])
def test_a_number_of_machines_that_has_no_addresses_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="from 1 to 200"):
        LinkedMachines(count)

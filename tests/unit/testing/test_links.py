"""Machines in network namespaces, with shaped links."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit import gangs

from sparkweave.distributed.collective import Collective
from sparkweave.errors import ConfigError
from sparkweave.place import this_place
from sparkweave.strategies import AllReduce
from sparkweave.testing import links
from sparkweave.testing.links import Link, LinkedMachines, disciplines, why_impossible

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


def test_links_that_the_kernel_delays() -> None:
    skip_without_machines(Link(megabits=100, round_trip_ms=20))
    with LinkedMachines(2, Link(megabits=100, round_trip_ms=20)):
        pass


def test_nothing_of_the_machines_is_left() -> None:
    skip_without_machines()
    with LinkedMachines(2) as machines:
        keepers = machines.keepers
        assert all(Path("/proc", str(pid)).exists() for pid in keepers)
    assert len(keepers) == 3
    assert not any(Path("/proc", str(pid)).exists() for pid in keepers)


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
    monkeypatch.setattr(links, "disciplines", lambda link: (["no-such-discipline"], []))
    reason = why_impossible(SHAPED)
    assert reason is not None
    assert reason.startswith("'tc qdisc add dev uplink root no-such-discipline' failed in a network namespace: ")


def test_a_delay_takes_netem_and_is_split_between_the_two_ways() -> None:
    from_machine, to_machine = disciplines(Link(megabits=100, round_trip_ms=20))
    assert from_machine == ["netem", "delay", "10ms", "rate", "100mbit", "limit", "10000"]
    assert to_machine == ["netem", "rate", "100mbit", "limit", "10000"]


def test_a_rate_alone_takes_what_more_kernels_have() -> None:
    shaped = ["tbf", "rate", "100mbit", "burst", "8192", "latency", "100ms"]
    assert disciplines(SHAPED) == (shaped, shaped)
    assert disciplines(Link(megabits=1000))[0][4] == "62500"


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

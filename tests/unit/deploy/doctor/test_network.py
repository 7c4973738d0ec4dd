"""Connections, names and clocks, judged."""

from __future__ import annotations

import dataclasses

from tests.unit.deploy.doctor.cluster import DRIVER, cluster, driver, worker

from sparkweave.deploy.doctor.facts import Contact
from sparkweave.deploy.doctor.network import network_findings
from sparkweave.distributed.network import Network


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert list(network_findings(cluster())) == []


def test_an_unreachable_pair_names_hosts_interface_and_port() -> None:
    cut_off = worker(0, peers=[Contact(rank=1, error="timed out")])
    (finding,) = network_findings(cluster(cut_off, worker(1)))
    assert (finding.check, finding.host, finding.severity) == ("connection", "a", "error")
    assert "worker 0 on a (10.0.0.2, interface eth0)" in finding.what
    assert "worker 1 on b at 10.0.0.3 port 40001 (interface eth0): timed out" in finding.what


def test_the_remedy_knows_the_range_and_the_ways_around() -> None:
    cut_off = worker(0, peers=[Contact(rank=1, error="timed out")])
    facts = cluster(cut_off, worker(1), driver=driver(network=Network(ports=(47000, 47100))))
    (finding,) = network_findings(facts)
    assert finding.fix == (
        "open the TCP ports 47000-47100 between the nodes, choose another network between them with --subnet, or train with "
        "--transport spark"
    )


def test_what_a_host_has_not_is_told_once() -> None:
    reason = "host b has no interface in the subnet 10.9.0.0/16; its interfaces are lo 127.0.0.1. Give another"
    cut_off = [worker(rank, cut_off=reason, interface=None, address=None, port=None, peers=()) for rank in (1, 3)]
    (finding,) = network_findings(cluster(worker(0, peers=()), *cut_off))
    assert (finding.check, finding.host, finding.severity, finding.fix) == ("connection", "b", "error", "Give another")
    assert finding.what == reason.removesuffix(". Give another")


def test_workers_of_one_pair_of_hosts_are_reported_once() -> None:
    cut_off = [
        worker(rank, peers=[Contact(rank=1, error="timed out"), Contact(rank=3, error="timed out")]) for rank in (0, 2)
    ]
    (finding,) = network_findings(cluster(*cut_off, worker(1), worker(3)))
    assert "(and 3 more pairs of workers on these hosts)" in finding.what


def test_a_driver_out_of_reach_costs_no_more_than_the_view() -> None:
    (finding,) = network_findings(cluster(worker(0, driver=Contact(error="refused")), worker(1)))
    assert (finding.check, finding.host, finding.severity) == ("connection", "a", "warning")


def test_a_name_that_stands_for_loopback() -> None:
    (finding,) = network_findings(cluster(worker(0, own_addresses=["127.0.1.1"]), worker(1)))
    assert (finding.check, finding.host, finding.severity) == ("host name", "a", "warning")
    assert "127.0.1.1" in finding.what
    local = dataclasses.replace(DRIVER, master="local[2]")
    assert list(network_findings(cluster(worker(0, own_addresses=["127.0.1.1"]), driver=local))) == []


def test_several_interfaces_and_which_one_is_used() -> None:
    (finding,) = network_findings(cluster(worker(0, interfaces={"eth0": "10.0.0.2", "ib0": "10.1.0.2"}), worker(1)))
    assert finding.severity == "note"
    assert "eth0 10.0.0.2, ib0 10.1.0.2" in finding.what
    assert "workers talk over eth0, which leads to the driver" in finding.what
    several = worker(0, interfaces={"eth0": "10.0.0.2", "ib0": "10.1.0.2"})
    (finding,) = network_findings(cluster(several, worker(1), driver=driver(network=Network(subnet="10.0.0.0/16"))))
    assert "workers talk over eth0, which is in 10.0.0.0/16" in finding.what


def test_a_clock_is_off_only_by_more_than_what_the_round_trip_leaves_open() -> None:
    (finding,) = network_findings(cluster(worker(0, driver=Contact(seconds=0.5, offset=90.0)), worker(1)))
    assert (finding.check, finding.severity) == ("clock", "warning")
    assert "90.0 s (give or take 0.250 s) behind" in finding.what
    assert list(network_findings(cluster(worker(0, driver=Contact(seconds=4.0, offset=-2.5)), worker(1)))) == []

"""Whether all workers reach each other and the driver, over which interface, and whether their clocks agree."""

from __future__ import annotations

from collections.abc import Iterator

from sparkweave.deploy.doctor.facts import ClusterFacts, Contact, WorkerFacts
from sparkweave.deploy.doctor.finding import Finding
from sparkweave.distributed.network import show_ports

_CLOCK_SECONDS = 1.0


def network_findings(cluster: ClusterFacts) -> Iterator[Finding]:
    """All findings about connections and clocks."""
    yield from _cut_off(cluster)
    yield from _unreached_peers(cluster)
    yield from _unreached_driver(cluster)
    if not cluster.driver.is_local:
        yield from _names(cluster)
        yield from _several_interfaces(cluster)
    yield from _clocks(cluster)


def _cut_off(cluster: ClusterFacts) -> Iterator[Finding]:
    """Hosts that have not what the options for the network ask for."""
    for host in cluster.hosts:
        reasons = {worker.cut_off: None for worker in cluster.on(host) if worker.cut_off is not None}
        for reason in reasons:
            what, _, fix = reason.rpartition(". ")
            yield Finding(check="connection", host=host, severity="error", what=what, fix=fix)


def _unreached_peers(cluster: ClusterFacts) -> Iterator[Finding]:
    """One finding for each pair of hosts, whatever the number of workers there."""
    by_rank = {worker.rank: worker for worker in cluster.workers}
    failed: dict[tuple[str, str], list[tuple[WorkerFacts, WorkerFacts, Contact]]] = {}
    for worker in cluster.workers:
        for contact in worker.peers:
            if contact.error is not None and contact.rank in by_rank:
                peer = by_rank[contact.rank]
                failed.setdefault((worker.host, peer.host), []).append((worker, peer, contact))
    for (host, _), pairs in sorted(failed.items()):
        worker, peer, contact = pairs[0]
        more = f" (and {len(pairs) - 1} more pairs of workers on these hosts)" if len(pairs) > 1 else ""
        yield Finding(
            check="connection",
            host=host,
            severity="error",
            what=f"worker {worker.rank} on {worker.host} ({worker.address}, interface {worker.interface}) does not reach worker {peer.rank} on "
            f"{peer.host} at {peer.address} port {peer.port} (interface {peer.interface}): {contact.error}{more}",
            fix=f"open {_opened(cluster)} between the nodes, choose another network between them with --subnet, or train with "
            "--transport spark",
        )


def _opened(cluster: ClusterFacts) -> str:
    ports = cluster.driver.network.ports
    return "all TCP ports" if ports is None else f"the TCP ports {show_ports(ports)}"


def _why(cluster: ClusterFacts) -> str:
    subnet = cluster.driver.network.subnet
    return "which leads to the driver" if subnet is None else f"which is in {subnet}"


def _unreached_driver(cluster: ClusterFacts) -> Iterator[Finding]:
    driver = cluster.driver.network.controller_host or cluster.driver.host
    for host in cluster.hosts:
        worker = cluster.on(host)[0]
        if worker.driver.error is not None:
            yield Finding(
                check="connection",
                host=host,
                severity="warning",
                what=f"the driver ({driver}) can't be reached on a port of its own: {worker.driver.error}. Training goes on "
                "without, but shows no loss while it runs, and a worker that hangs is found only by its peers' timeout",
                fix="open the driver's TCP ports (one of --port) to the nodes, or name an address that they reach with --controller",
            )


def _names(cluster: ClusterFacts) -> Iterator[Finding]:
    for host in cluster.hosts:
        worker = cluster.on(host)[0]
        loopback = [address for address in worker.own_addresses if address.startswith("127.")]
        if loopback and len(loopback) == len(worker.own_addresses):
            yield Finding(
                check="host name",
                host=host,
                severity="warning",
                what=f"the name {host} stands for {', '.join(loopback)} there: what listens by name is out of other machines' reach. Workers "
                f"use {worker.address} (interface {worker.interface}), but Spark may not",
                fix="correct /etc/hosts on it, or set SPARK_LOCAL_IP there",
            )


def _several_interfaces(cluster: ClusterFacts) -> Iterator[Finding]:
    for host in cluster.hosts:
        worker = cluster.on(host)[0]
        if len(worker.interfaces) > 1:
            listed = ", ".join(f"{name} {address}" for name, address in sorted(worker.interfaces.items()))
            yield Finding(
                check="interfaces",
                host=host,
                severity="note",
                what=f"it has several interfaces ({listed}); workers talk over {worker.interface}, {_why(cluster)}",
                fix="nothing, if that is the fast one; --subnet chooses it",
            )


def _clocks(cluster: ClusterFacts) -> Iterator[Finding]:
    for host in cluster.hosts:
        contact = cluster.on(host)[0].driver
        if contact.offset is None or contact.seconds is None:
            continue
        if abs(contact.offset) - contact.seconds / 2 > _CLOCK_SECONDS:
            relation = "behind" if contact.offset > 0 else "ahead of"
            yield Finding(
                check="clock",
                host=host,
                severity="warning",
                what=f"its clock is {abs(contact.offset):.1f} s (give or take {contact.seconds / 2:.3f} s) {relation} the driver's: times in logs "
                "don't fit together, and Kerberos refuses five minutes",
                fix="run a time service (chrony, systemd-timesyncd) on both machines",
            )

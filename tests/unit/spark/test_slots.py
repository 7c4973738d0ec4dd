"""How long executors are waited for, and with how many a run starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sparkweave.distributed.network import Network
from sparkweave.errors import ResourceError
from sparkweave.spark import slots as module
from sparkweave.spark.slots import refuse_plaintext, require_slots

YARN = {"spark.master": "yarn", "spark.executor.instances": "2", "spark.executor.cores": "2"}
STANDALONE = {"spark.master": "spark://host:7077"}
NEVER = 10_000.0


class Cluster:
    """A session whose executors of two cores come at given times of a clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], *arrivals: float) -> None:
        self.now = 0.0
        self.ends = NEVER
        self._arrivals = arrivals
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep))
        monkeypatch.setattr(module, "has_ended", lambda _: self.now >= self.ends)
        monkeypatch.setattr(module, "registered_cores", lambda _: self._cores())
        monkeypatch.setattr(module, "count_slots", lambda _: self._cores())
        conf = SimpleNamespace(getAll=lambda: list(settings.items()))
        self.spark: Any = SimpleNamespace(
            sparkContext=SimpleNamespace(master=settings["spark.master"], getConf=lambda: conf)
        )

    def _cores(self) -> int:
        return 2 * sum(arrival <= self.now for arrival in self._arrivals)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def test_all_executors_that_were_asked_for_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, 50)
    assert require_slots(cluster.spark, None) == 4
    assert 50 <= cluster.now < 51


def test_if_fewer_come_the_error_says_how_many_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, NEVER)
    with pytest.raises(
        ResourceError, match=r"^spark\.executor\.instances=2 asks for 4 cores, and 2 came, within 180 s"
    ):
        require_slots(cluster.spark, None)
    assert cluster.now > 180


def test_if_fewer_come_they_do_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, NEVER)
    assert require_slots(cluster.spark, None, least=2) == 2
    assert require_slots(cluster.spark, 4, least=1) == 2
    with pytest.raises(ResourceError, match="needs 4 workers, this session has 2 slots"):
        require_slots(cluster.spark, 4, least=3)


def test_a_number_of_workers_does_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, 50)
    assert require_slots(cluster.spark, 1) == 1
    assert cluster.now < 2


def test_too_many_workers_are_refused_soon_once_all_executors_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, 2)
    with pytest.raises(ResourceError, match="needs 5 workers, this session has 4 slots: raise the number of executors"):
        require_slots(cluster.spark, 5)
    assert cluster.now < 30


def test_where_any_number_may_come_those_count_that_come_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, STANDALONE, 10, 12, 14, 30)
    assert require_slots(cluster.spark, None) == 6
    assert cluster.now < 18


@pytest.mark.parametrize("settings", [YARN, STANDALONE])
def test_no_executor_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    cluster = Cluster(monkeypatch, settings, NEVER)
    with pytest.raises(ResourceError, match="needs 1 workers, this session has 0 slots"):
        require_slots(cluster.spark, None)


def test_a_session_that_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, YARN, 1, NEVER)
    cluster.ends = 5.0
    with pytest.raises(ResourceError, match="the Spark session has ended"):
        require_slots(cluster.spark, 4)
    assert cluster.now < 6


def session(master: str, settings: dict[str, str]) -> Any:
    conf = SimpleNamespace(getAll=lambda: list(settings.items()))
    context = SimpleNamespace(master=master, getConf=lambda: conf)
    return SimpleNamespace(sparkContext=context, conf=SimpleNamespace(getAll={}))


@pytest.mark.parametrize(
    "setting", ["spark.authenticate", "spark.network.crypto.enabled", "spark.ssl.enabled", "spark.ssl.rpc.enabled"]
)
def test_tensors_are_not_sent_unprotected_where_spark_protects_its_connections(setting: str) -> None:
    with pytest.raises(ResourceError) as caught:
        refuse_plaintext(session("yarn", {setting: "true"}), 2, Network())
    assert str(caught.value) == (
        f"{setting} is true: Spark protects its own connections, but gradients and weights would go from worker to worker over plain "
        "TCP, neither encrypted nor authenticated: who can listen on that network can read them, who can write can change them. Send "
        "them through Spark's connections with --transport spark, which takes a second or more each time, or say that the network is "
        "trusted with --allow-plaintext (transport and allow_plaintext of sparkweave.Network in Python)"
    )


@pytest.mark.parametrize(
    ("master", "workers", "network"),
    [
        ("local[2]", 2, Network()),
        ("local-cluster[2,1,1024]", 2, Network()),
        ("yarn", 1, Network()),
        ("yarn", 2, Network(allow_plaintext=True)),
        ("yarn", 2, Network(transport="spark")),
    ],
    ids=str,
)
def test_where_nothing_goes_over_a_network_unprotected_against_ones_will_nothing_is_refused(
    master: str, workers: int, network: Network
) -> None:
    refuse_plaintext(session(master, {"spark.authenticate": "true"}), workers, network)


def test_a_session_that_protects_nothing_asks_for_nothing() -> None:
    refuse_plaintext(session("yarn", {"spark.authenticate": "false"}), 2, Network())

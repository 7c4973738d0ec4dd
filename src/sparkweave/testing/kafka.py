"""A Kafka broker on this machine: one small JVM, its own controller (KRaft), on loopback. ::

    with KafkaBroker(folder) as broker:
        broker.create_topic("images", partitions=2)
        ... f"kafka://{broker.servers}/images" ...

Everything it writes is in its folder. Nothing of it runs on after the ``with`` block, or after the death of this process.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from sparkweave.errors import ResourceError
from sparkweave.spark.java import find_java, launch_environment
from sparkweave.testing.java_process import QUICK_JVM
from sparkweave.testing.maven import fetched_jars
from sparkweave.testing.ports import LOOPBACK, free_ports, is_listening
from sparkweave.testing.process_group import ProcessGroup

KAFKA = "4.1.0"
_CLUSTER_ID = "c3Bhcmt3ZWF2ZS10ZXN0cw"
_HEAP = ("-Xms64m", "-Xmx256m")
_WAIT_SECONDS = 180.0
_POLL_SECONDS = 0.1
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
num.network.threads=2
num.io.threads=2
"""
_LOGGING = """<Configuration><Appenders><Console name="out"><PatternLayout pattern="%p %c: %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


def broker_class_path(java: Path) -> list[Path]:
    """The jars of a broker; fetched at the first call.

    Raises:
        ResourceError: if they are not here and can't be fetched.
    """
    return fetched_jars(f"kafka-{KAFKA}", [("org.apache.kafka", "kafka_2.13", KAFKA)], java, transitive=True)


class KafkaBroker:
    """A broker, from `start` (or ``with``) to `stop`.

    Args:
        folder: Where its log is kept.

    Attributes:
        servers: ``127.0.0.1:PORT``.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        self._port, self._controller = free_ports(2)
        self.servers = f"{LOOPBACK}:{self._port}"
        self._process: ProcessGroup | None = None

    def start(self) -> None:
        """Starts it and returns when it answers.

        Raises:
            ResourceError: if its jars can't be had, or it does not start; nothing runs on then.
        """
        java = find_java()
        command = [str(java), *QUICK_JVM, *_HEAP, f"-Dlog4j2.configurationFile={self.folder}/log4j2.xml"]
        command += ["-cp", ":".join(map(str, broker_class_path(java)))]
        properties = self._write_settings()
        environment = {**os.environ, **launch_environment(java)}
        output = self.folder / "broker.log"
        self._format([*command, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties], environment)
        self._process = ProcessGroup([*command, "kafka.Kafka", properties], environment=environment, output=output)
        try:
            self._await(output)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def create_topic(self, name: str, *, partitions: int = 1) -> str:
        """Creates a topic, and returns its URL as `sparkweave stream` takes it."""
        from confluent_kafka import admin

        new_topic: Any = vars(admin)["NewTopic"]  # its types don't export it
        topic = new_topic(name, num_partitions=partitions, replication_factor=1)
        client = self._admin()  # it has to live while it is waited for
        for future in client.create_topics([topic]).values():
            future.result(_WAIT_SECONDS)
        return f"kafka://{self.servers}/{name}"

    def delete_records(self, name: str, *, before: int) -> None:
        """Drops what partition 0 has before an offset, as a topic's retention does."""
        from confluent_kafka import TopicPartition

        client = self._admin()
        for future in client.delete_records([TopicPartition(name, 0, before)]).values():
            future.result(_WAIT_SECONDS)

    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.servers})

    def _write_settings(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.xml").write_text(_LOGGING)
        path = self.folder / "server.properties"
        path.write_text(
            _PROPERTIES.format(host=LOOPBACK, port=self._port, controller=self._controller, folder=self.folder)
        )
        return str(path)

    def _format(self, command: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_WAIT_SECONDS, check=False
        )
        if done.returncode:
            raise ResourceError(f"Kafka's log can't be made: {(done.stdout + done.stderr)[-2000:]}")

    def _await(self, output: Path) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while not is_listening(self._port):
            if time.monotonic() > end:
                raise ResourceError(f"Kafka did not start within {_WAIT_SECONDS:g} s: {output.read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)

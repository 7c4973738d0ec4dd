"""Where a topic is, and whether its broker answers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from sparkweave.errors import ConfigError, ResourceError

_URL = re.compile(r"kafka://(?P<servers>[^/\s]+:\d+(,[^/\s]+:\d+)*)/(?P<topic>[A-Za-z0-9._-]{1,249})")
_TIMEOUT_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class KafkaAddress:
    """``kafka://HOST:PORT,HOST:PORT/TOPIC``."""

    servers: str
    topic: str

    @classmethod
    def of(cls, url: str) -> KafkaAddress:
        """What ``url`` stands for.

        Raises:
            ConfigError: if it is of another form.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigError(
                f"{url!r} is not of the form kafka://HOST:PORT/TOPIC (several brokers: HOST:PORT,HOST:PORT)"
            )
        return cls(servers=match["servers"], topic=match["topic"])


def is_kafka(url: str) -> bool:
    """Whether ``url`` is a topic's."""
    return url.startswith("kafka:")


def client_settings(address: KafkaAddress, settings: Mapping[str, str]) -> dict[str, Any]:
    """Of a client of librdkafka that logs nothing of its own; what fails reaches the caller as an error."""
    return {"bootstrap.servers": address.servers, "log_level": 0, "error_cb": _ignore, **settings}


def check_topic(address: KafkaAddress, settings: Mapping[str, str]) -> None:
    """Asks the broker for the topic.

    Raises:
        ConfigError: if confluent-kafka is not installed, or refuses a setting.
        ResourceError: if no broker answers within seconds, or there is no such topic.
    """
    kafka = client_library()
    try:
        consumer = kafka.Consumer({**client_settings(address, settings), "group.id": "sparkweave-check"})
    except kafka.KafkaException as error:
        raise ConfigError(f"--kafka-option: {error.args[0].str()}; see librdkafka's list of settings") from error
    try:
        metadata = consumer.list_topics(address.topic, timeout=_TIMEOUT_SECONDS)
    except kafka.KafkaException as error:
        raise ResourceError(
            f"no Kafka broker answered at {address.servers} within {_TIMEOUT_SECONDS:g} s ({error.args[0].str()});"
            " check host, port and security settings (--kafka-option)"
        ) from error
    finally:
        consumer.close()
    if (problem := metadata.topics[address.topic].error) is not None:
        raise ResourceError(f"{address.servers} has no usable topic {address.topic} ({problem.str()}); create it first")


def client_library() -> Any:
    """`confluent_kafka`.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError as error:
        raise ConfigError("Kafka needs confluent-kafka: install sparkweave[kafka]") from error
    return confluent_kafka


def _ignore(_error: object) -> None:
    pass

"""A client of ``POST /predict``, for whoever checks a service from Python."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError

_IMAGES_A_REQUEST = 64
_BYTES_A_REQUEST = 8 << 20  # base64 adds a third, and a service takes 16 MiB
_SECONDS = 60.0
_LONGEST_ANSWER = 64 << 20


def probabilities_from(url: str, images: Iterable[bytes], *, token: str | None = None) -> npt.NDArray[np.float32]:
    """The probabilities, float32 (N, classes), that the service at ``url`` gives for encoded images.

    Raises:
        ConfigError: if it does not answer as a service of sparkweave does.
    """
    rows = [row["probabilities"] for part in _parts(images) for row in _asked(url, part, token)]
    return np.array(rows, np.float32)


def _parts(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for image in images:
        if part and (len(part) == _IMAGES_A_REQUEST or size + len(image) > _BYTES_A_REQUEST):
            yield part
            part, size = [], 0
        part.append(image)
        size += len(image)
    if part:
        yield part


def _asked(url: str, images: Sequence[bytes], token: str | None) -> list[dict[str, Any]]:
    body = json.dumps({"images": [base64.b64encode(image).decode() for image in images]}).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r:.200} is no URL of a service; give http://HOST:PORT")
    request = urllib.request.Request(f"{url.rstrip('/')}/predict", body, headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
            predictions: list[dict[str, Any]] = json.loads(answer.read(_LONGEST_ANSWER))["predictions"]
    except urllib.error.HTTPError as error:
        raise ConfigError(f"{url} answered {error.code}: {error.read(2000).decode(errors='replace')}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{url} does not answer as a sparkweave service does ({error}); check --url") from error
    if len(predictions) != len(images):
        raise ConfigError(f"{url} answered {len(predictions)} predictions for {len(images)} images; check --url")
    return predictions

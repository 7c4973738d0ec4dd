"""The service apart from HTTP: the model that is served, and the way from a body to predictions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.types import Receive

from sparkweave.serving.batcher import Batcher
from sparkweave.serving.body import Bodies
from sparkweave.serving.decoders import Decoders
from sparkweave.serving.inputs import CHEAP_PIXELS, Rows, declared_pixels, decode_base64
from sparkweave.serving.limits import Limits
from sparkweave.serving.metrics import Metrics
from sparkweave.serving.model import ServedModel
from sparkweave.serving.refusal import Refusal, invalid, short
from sparkweave.serving.watcher import Watcher

Files = list[bytes]
Parse = Callable[[ServedModel], Files | Rows]
_CHEAP_BODY = 65_536
_PARSERS = 2


class Service:
    """One model, whichever version of it is served.

    Attributes:
        name: Of the model.
        limits: What strangers may take.
        metrics: What is counted.
        bodies: What is being received.
        decoders: What is being decoded.
        batcher: What is being predicted.
        model: What is served, or None as long as there is no version.
        watcher: What looks for new versions, if a registry is followed.
    """

    def __init__(self, name: str, *, limits: Limits | None = None, model: ServedModel | None = None) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.bodies = Bodies(self.limits)
        self.decoders = Decoders(self.limits)
        self.batcher = Batcher(
            batch_images=self.limits.batch_images,
            queue_images=self.limits.queue_images,
            queue_bytes=self.limits.queue_bytes,
            observe=self.metrics.batch,
        )
        self.model: ServedModel | None = None
        self.watcher: Watcher | None = None
        self._parsers = ThreadPoolExecutor(_PARSERS, thread_name_prefix="sparkweave-parse")
        if model is not None:
            self.install(model)

    def install(self, model: ServedModel) -> None:
        """Serves ``model`` from now on; requests that began with another end with it."""
        self.metrics.served(model.name, model.version, model.digest)
        self.model = model

    async def start(self) -> None:
        """In the event loop that answers."""
        self.batcher.start()
        if self.watcher is not None:
            self.watcher.start()

    async def stop(self) -> None:
        """Answers what was taken in, and ends all threads."""
        if self.watcher is not None:
            self.watcher.stop()
        await self.batcher.stop()
        self.decoders.stop()
        self._parsers.shutdown(wait=False, cancel_futures=True)

    def served(self) -> ServedModel:
        """The model for a request.

        Raises:
            Refusal: if there is none yet.
        """
        if self.model is None:
            raise Refusal(503, "no version is served yet; publish one, or see /metrics and the log", retry_seconds=5)
        return self.model

    async def predict(
        self, model: ServedModel, parse: Parse, *, body_bytes: int, receive: Receive
    ) -> npt.NDArray[np.float32]:
        """What the model gives for the rows that ``parse`` finds in a request's body, which is whole.

        What takes longer than a moment is left to a thread, so that others are answered meanwhile.
        """
        is_short = body_bytes <= _CHEAP_BODY
        if is_short:
            found, pixels = self._find(model, parse)
        else:
            loop = asyncio.get_running_loop()
            found, pixels = await loop.run_in_executor(self._parsers, self._find, model, parse)
        if not isinstance(found, list):
            rows = found
        elif is_short and pixels <= CHEAP_PIXELS:
            rows = model.inputs.from_files(found, max_pixels=self.limits.pixels)
        else:
            rows = await self.decoders.decode(model.inputs, found, pixels=pixels, receive=receive)
        return await self.batcher.predict(model.predictor, rows)

    def _find(self, model: ServedModel, parse: Parse) -> tuple[Files | Rows, int]:
        """What ``parse`` finds, and the pixels that are still to be decoded."""
        found = parse(model)
        what = f"{model.inputs.kind}s"
        if not len(found):
            raise invalid(f"the request has no {what}", "send at least one")
        if len(found) > self.limits.images:
            raise Refusal(
                413, f"the request has {len(found):,} {what}; at most {self.limits.images:,} are taken at once"
            )
        return found, declared_pixels(found, max_pixels=self.limits.pixels) if isinstance(found, list) else 0


def rows_of(model: ServedModel, items: Any) -> Files | Rows:
    """A JSON list of base64 texts, or of nested numbers: one a row.

    Raises:
        Refusal: if it is neither.
    """
    if not isinstance(items, list):
        raise invalid(f"where a list of {model.inputs.kind}s belongs is {short(items)}", "send a list, one item each")
    texts = sum(isinstance(item, str) for item in items)
    if texts and texts == len(items):
        return [decode_base64(item) for item in items]
    if texts:
        raise invalid("the list mixes texts with numbers", "send all images in base64, or all as numbers")
    return model.inputs.from_values(items) if items else []

"""Micro-batches: one thread takes whatever waits, up to a batch, and predicts it together.

An idle service predicts a lone image at once; under load, what arrives while a batch is computed is the next one. So batches are as large
as the load asks for, and nobody waits for a timer. What is taken in is answered, or never taken in: the count of images is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.serving.inputs import Rows
from sparkweave.serving.refusal import Refusal

Predict = Callable[[Rows], npt.NDArray[np.float32]]
_LOG = logging.getLogger("sparkweave.serving")
_MOST_RETRY_SECONDS = 60
_SMOOTHING = 0.1


@dataclasses.dataclass(eq=False)
class _Job:
    predict: Predict
    rows: Rows
    future: asyncio.Future[npt.NDArray[np.float32]]
    result: npt.NDArray[np.float32] | Exception | None = None


class Batcher:
    """Predicts for many clients; see the module.

    Attributes:
        waiting: Images that were taken in and are not answered yet.
        waiting_bytes: The same in bytes.
    """

    def __init__(
        self,
        *,
        batch_images: int,
        queue_images: int,
        queue_bytes: int,
        observe: Callable[[int, float], None] = lambda _images, _seconds: None,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            batch_images: Most images of a batch, unless one request has more.
            queue_images: Most images that wait.
            queue_bytes: Most bytes that wait.
            observe: Told of each batch: images, seconds.
        """
        self.waiting = 0
        self.waiting_bytes = 0
        self._batch_images = batch_images
        self._queue_images = queue_images
        self._queue_bytes = queue_bytes
        self._observe = observe
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._held: _Job | None = None
        self._ending = False
        self._seconds_an_image = 0.0
        self._thread = threading.Thread(target=self._run, name="sparkweave-batches", daemon=True)

    def start(self) -> None:
        """Starts the thread; call it in the event loop that `predict` is called in."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Answers what was taken in, and ends the thread."""
        self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def predict(self, predict: Predict, rows: Rows) -> npt.NDArray[np.float32]:
        """What ``predict`` gives for ``rows``, computed with others' rows for the same ``predict``.

        Raises:
            Refusal: if too many wait already (503), or the network's output is not finite (500).
        """
        images, size = len(rows), rows.nbytes
        full = self.waiting + images > self._queue_images or self.waiting_bytes + size > self._queue_bytes
        if full and self.waiting:
            raise Refusal(
                503,
                f"{self.waiting:,} images wait already, of at most {self._queue_images:,}; try again later",
                retry_seconds=self._retry_seconds(),
            )
        self.waiting += images
        self.waiting_bytes += size
        job = _Job(predict, rows, self._loop.create_future())
        self._jobs.put(job)
        return await job.future

    def _retry_seconds(self) -> int:
        return max(1, min(_MOST_RETRY_SECONDS, math.ceil(self.waiting * self._seconds_an_image)))

    def _run(self) -> None:
        while jobs := self._take():
            began = time.perf_counter()
            try:
                _compute(jobs)
            except Exception as error:  # noqa: BLE001 - told to those who wait for it
                _LOG.exception("a batch failed")
                for job in jobs:
                    job.result = error
            self._note(sum(len(job.rows) for job in jobs), time.perf_counter() - began)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._deliver, jobs)

    def _take(self) -> list[_Job]:
        """The next batch: as many jobs as fit and are for the same model; none when it is time to end."""
        first = self._held or (None if self._ending else self._jobs.get())
        self._held = None
        if first is None:
            return []
        jobs, images = [first], len(first.rows)
        with contextlib.suppress(queue.Empty):
            while images < self._batch_images:
                job = self._jobs.get_nowait()
                if job is None:
                    self._ending = True
                    break
                images += len(job.rows)
                if job.predict is not first.predict or images > self._batch_images:
                    self._held = job
                    break
                jobs.append(job)
        return jobs

    def _note(self, images: int, seconds: float) -> None:
        self._seconds_an_image += _SMOOTHING * (seconds / images - self._seconds_an_image)
        self._observe(images, seconds)

    def _deliver(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            self.waiting -= len(job.rows)
            self.waiting_bytes -= job.rows.nbytes
            if job.future.cancelled():
                continue
            if isinstance(job.result, Exception):
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)  # type: ignore[arg-type]


def _compute(jobs: Sequence[_Job]) -> None:
    """Sets each job's result: its rows of what the network gives for all."""
    rows: Any = jobs[0].rows if len(jobs) == 1 else np.concatenate([job.rows for job in jobs])
    outputs = jobs[0].predict(rows)
    finite = bool(np.isfinite(outputs).all())
    start = 0
    for job in jobs:
        own = outputs[start : start + len(job.rows)]
        start += len(job.rows)
        # A stranger's extreme input must not fail its neighbors in the batch.
        job.result = own if finite or np.isfinite(own).all() else _not_finite()


def _not_finite() -> Refusal:
    return Refusal(500, "the network's output is not finite for this input; check the input, or train the model again")

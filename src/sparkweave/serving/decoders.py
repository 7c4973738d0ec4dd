"""Threads that decode images, and how much may wait for them.

A few bytes can declare very many pixels, so work is counted in pixels, which the headers tell before anything is decoded: those of one request,
and those of all requests together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.types import Receive

from sparkweave.serving.body import ClientGone, departure
from sparkweave.serving.inputs import Inputs, Rows
from sparkweave.serving.limits import Limits
from sparkweave.serving.refusal import Refusal

_THREADS = 2
_RETRY_SECONDS = 2


class Decoders:
    """Decodes for many clients, request by request; see the module.

    Attributes:
        pixels: What is being decoded, or waits to be.
    """

    def __init__(self, limits: Limits) -> None:
        self.pixels = 0
        self._limits = limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sparkweave-decode")

    def stop(self) -> None:
        """Ends the threads; what waits is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def decode(self, inputs: Inputs, files: Sequence[bytes], *, pixels: int, receive: Receive) -> Rows:
        """The rows of encoded images.

        Args:
            inputs: What the model takes.
            files: The images.
            pixels: What they declare, see `sparkweave.serving.inputs.declared_pixels`.
            receive: ASGI's, of a request whose body is whole: it tells when the client leaves.

        Raises:
            Refusal: if they have too many pixels (413), too many wait already (503), or one can't be decoded (422).
            ClientGone: if the client left; the rest is not decoded.
        """
        with self._counted(len(files), pixels):
            leaving = asyncio.ensure_future(departure(receive))

            def check() -> None:
                if leaving.done():
                    raise ClientGone

            def work() -> Rows:
                return inputs.from_files(files, max_pixels=self._limits.pixels, before_each=check)

            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            finally:
                leaving.cancel()

    @contextlib.contextmanager
    def _counted(self, images: int, pixels: int) -> Iterator[None]:
        most, most_together = self._limits.request_pixels, self._limits.decoding_pixels
        if pixels > most:
            raise Refusal(
                413,
                f"the request's images ({images:,}) ask for {pixels:,} pixels to be decoded; at most {most:,} are taken at once: "
                "send fewer or smaller images",
            )
        if self.pixels and self.pixels + pixels > most_together:
            raise Refusal(
                503,
                f"{self.pixels:,} pixels wait to be decoded already, of at most {most_together:,}; try again later",
                retry_seconds=_RETRY_SECONDS,
            )
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels

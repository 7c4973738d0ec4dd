"""What the service lets a stranger take: bytes, images, connections and time."""

from __future__ import annotations

import dataclasses

from sparkweave.data.images import MAX_PIXELS

MIB = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that hold before any work is done; beyond them a request is refused, never queued without end.

    Attributes:
        body_bytes: Longest body of a request.
        bodies_bytes: All bodies together that are held at a time; the images found in them are held once more.
        images: Most images (or rows of numbers) in a request.
        pixels: Most pixels that one image is decoded to. OpenCV takes 6 bytes for each, up to 11 for a progressive JPEG, and two images are
            decoded at a time: 600 MB of the largest, 1.1 GB at most.
        request_pixels: Most pixels that the images of a request are decoded to together; a JPEG's count again for each 16 scans that it has.
        decoding_pixels: The same, of all requests whose images are being decoded or wait to be.
        queue_images: Most images that wait or are being predicted.
        queue_bytes: The same, in bytes of pixels.
        batch_images: Most images that go through the network together.
        json_brackets: Most lists and objects in a JSON body: each takes twenty times its bytes in memory.
        connections: Most connections at a time.
        header_bytes: Longest request line with its headers.
        header_seconds: From a connection, or from a request's first byte, to the end of its headers.
        receipt_seconds: From the end of the headers to the end of the body.
        idle_seconds: How long a connection is kept for another request.
        send_seconds: How long an answer waits for a client that does not take it.
        drain_seconds: How long requests may take to end when the service is asked to end.
    """

    body_bytes: int = 16 * MIB
    bodies_bytes: int = 128 * MIB
    images: int = 1024
    pixels: int = MAX_PIXELS
    request_pixels: int = 100_000_000
    decoding_pixels: int = 300_000_000
    queue_images: int = 4096
    queue_bytes: int = 256 * MIB
    batch_images: int = 128
    json_brackets: int = 1_000_000
    connections: int = 512
    header_bytes: int = 32_768
    header_seconds: float = 10.0
    receipt_seconds: float = 30.0
    idle_seconds: int = 15
    send_seconds: float = 30.0
    drain_seconds: int = 30

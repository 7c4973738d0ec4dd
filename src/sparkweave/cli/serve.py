"""`sparkweave serve`: a model, or the newest version in a registry, over HTTP."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import clean, say
from sparkweave.cli.interrupts import on_interrupt
from sparkweave.cli.options import AT_LEAST_ONE, POSITIVE, MemorySize, allow_code_option, option
from sparkweave.cli.options_file import config_option
from sparkweave.errors import ConfigError

if TYPE_CHECKING:
    from sparkweave.serving.limits import Limits

_END_SECONDS = 5.0


@click.command()
@click.argument("model")
@option("--host", default="127.0.0.1", help="Address to listen on; beyond loopback a token is required.")
@option("--port", type=click.IntRange(0, 65535), default=8080, help="Port to listen on; 0 takes a free one.")
@option("--name", metavar="NAME", help="What clients call the model; by default the last part of MODEL.")
@option("--token-file", metavar="FILE", help="File with the token that clients have to send; or set SPARKWEAVE_TOKEN.")
@option("--threads", type=AT_LEAST_ONE, help="Threads for the network; by default all cores but one.")
@option("--max-body", type=MemorySize(), default="16m", help="Longest body of a request.")
@option("--max-images", type=AT_LEAST_ONE, default=1024, help="Most images in a request.")
@option("--queue", type=AT_LEAST_ONE, default=4096, help="Most images that wait; more are answered 503.")
@option("--poll-seconds", type=POSITIVE, default=2.0, help="How often a registry is looked at.")
@allow_code_option
@config_option
@option("--debug", is_flag=True, help="Show the traceback of an error.")
def serve(**options: Any) -> None:
    """Serve MODEL over HTTP: a saved model, or a registry (a folder of versions), local or hdfs://.

    POST /predict takes images; there is a page for people at /. The newest version of a registry is served, and a newer one is put in its
    place once it has proved itself (`sparkweave publish`). SIGTERM and Ctrl-C end it when all it has accepted is answered.
    """
    require_packages()
    import torch

    from sparkweave.data.images import use_one_thread
    from sparkweave.serving.access import Access, read_token
    from sparkweave.serving.opening import Source, open_service, threads_beside_the_network
    from sparkweave.serving.server import Address, Server, listen, url_of

    torch.set_num_threads(options["threads"] or threads_beside_the_network())
    use_one_thread()
    token = read_token(options["token_file"])
    address = Address(host=options["host"], port=options["port"])
    with _logged_to_people(), listen(address, token) as listener:
        source = Source(
            url=options["model"],
            name=options["name"],
            allow_code=options["allow_code"],
            poll_seconds=options["poll_seconds"],
        )
        service = open_service(source, _limits(options))
        url = url_of(listener)

        def started() -> None:
            version = service.model.version if service.model else "none yet"
            say(f"Serving {service.name}, version {version}, at {url}/predict; the page is {url}/")

        server, ended = Server(service, Access(token), started=started), threading.Event()

        def end() -> bool:
            say("Ending when all is answered.")
            server.end()
            return ended.wait(service.limits.drain_seconds + _END_SECONDS)

        with on_interrupt(end):
            try:
                server.run([listener])
            finally:
                ended.set()


def _limits(options: dict[str, Any]) -> Limits:
    from sparkweave.serving.limits import Limits

    body = options["max_body"]
    return Limits(
        body_bytes=body,
        bodies_bytes=max(Limits.bodies_bytes, 4 * body),
        images=min(options["max_images"], options["queue"]),
        queue_images=options["queue"],
    )


def require_packages() -> None:
    """Raises ConfigError if what the service is built of is not installed."""
    try:
        import httptools
        import prometheus_client
        import starlette
        import uvicorn
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serving needs the Python package {error.name}, which is not installed: pip install 'sparkweave[serve]'"
        ) from error
    del httptools, prometheus_client, starlette, uvicorn


class _People(logging.Handler):
    """What the service logs, on stderr, as a line without characters that steer a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        say(clean(self.format(record)))


@contextlib.contextmanager
def _logged_to_people() -> Iterator[None]:
    loggers, handler = [logging.getLogger(name) for name in ("sparkweave.serving", "uvicorn")], _People()
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)

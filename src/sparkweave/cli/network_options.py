"""How workers and driver reach each other: options that `train` and `doctor` have in common, and what they stand for."""

from __future__ import annotations

import functools
from typing import Any

import click

from sparkweave.cli.options import Command, option
from sparkweave.distributed.network import TRANSPORTS, Network, Ports, parse_ports
from sparkweave.errors import ConfigError


class PortRange(click.ParamType):  # type: ignore[type-arg]
    """``47000-47100``, or one port."""

    name = "PORTS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ports:
        """The first and the last port."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_ports(value)
        except ConfigError as error:
            self.fail(f"{error}.", param, ctx)


def network_options(command: Command) -> Command:
    """Adds them to a command."""
    added = [
        option("--port", type=PortRange(), help="Ports to listen on, such as 47000-47100; without it any."),
        option(
            "--subnet",
            metavar="CIDR",
            help="Workers use the interface in this network, such as 10.27.0.0/16; without it the one that leads to the driver.",
        ),
        option(
            "--controller",
            metavar="HOST[:PORT]",
            help="Where workers reach the driver; without it spark.driver.host and any port.",
        ),
        option(
            "--transport",
            type=click.Choice(TRANSPORTS),
            default="collective",
            help="spark: tensors go through Spark's own connections, which takes a second or more each time.",
        ),
        option(
            "--allow-plaintext", is_flag=True, help="Send tensors unprotected though Spark's connections are protected."
        ),
    ]
    decorated: Command = functools.reduce(lambda inner, add: add(inner), reversed(added), command)
    return decorated


def make_network(options: dict[str, Any]) -> Network:
    """What a command's options ask for.

    Raises:
        ConfigError: if one of them breaks its rule.
    """
    return Network(
        ports=options["port"],
        subnet=options["subnet"],
        controller=options["controller"],
        transport=options["transport"],
        allow_plaintext=options["allow_plaintext"],
    )

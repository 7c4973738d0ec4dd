"""Networks: the built-in ones, files of layers, and users' own code, all built by `build_network`."""

from __future__ import annotations

from sparkweave.networks.build import BUILT_IN, build_network, describe_network

__all__ = ["BUILT_IN", "build_network", "describe_network"]

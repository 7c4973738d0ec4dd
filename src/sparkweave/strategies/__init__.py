"""Strategies: how the workers' networks are kept the same, one file each."""

from sparkweave.strategies.all_reduce import AllReduce
from sparkweave.strategies.base import Replica, Strategy, Synchronizer
from sparkweave.strategies.parameter_averaging import ParameterAveraging

STRATEGIES: dict[str, type[Strategy]] = {
    "all-reduce": AllReduce,
    "parameter-averaging": ParameterAveraging,
}

__all__ = ["STRATEGIES", "AllReduce", "ParameterAveraging", "Replica", "Strategy", "Synchronizer"]

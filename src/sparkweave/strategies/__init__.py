"""Strategies: how the workers' networks are kept the same, one file each."""

from sparkweave.strategies.all_reduce import AllReduce
from sparkweave.strategies.base import Costs, Replica, Sparsity, Strategy, Synchronizer
from sparkweave.strategies.gradient_sharing import GradientSharing
from sparkweave.strategies.parameter_averaging import ParameterAveraging

STRATEGIES: dict[str, type[Strategy]] = {
    "all-reduce": AllReduce,
    "gradient-sharing": GradientSharing,
    "parameter-averaging": ParameterAveraging,
}

__all__ = [
    "STRATEGIES",
    "AllReduce",
    "Costs",
    "GradientSharing",
    "ParameterAveraging",
    "Replica",
    "Sparsity",
    "Strategy",
    "Synchronizer",
]

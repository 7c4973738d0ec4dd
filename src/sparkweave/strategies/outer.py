"""The outer optimizer of DiLoCo: SGD with Nesterov momentum, from one mean of the workers' parameters to the next.

Source: Douillard et al., https://arxiv.org/abs/2311.08105.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sparkweave.strategies.base import Replica


class OuterStep:
    """Takes what the parameters have lost since its last step for a gradient. All workers make the same steps."""

    def __init__(
        self, replica: Replica, learning_rate: float, momentum: float, state: Mapping[str, torch.Tensor]
    ) -> None:
        """Starts from the parameters as they are, with the momentum of ``state``."""
        self._parameters = dict(zip(replica.names(), replica.parameters(), strict=True))
        self._outer = {name: torch.nn.Parameter(tensor.detach().clone()) for name, tensor in self._parameters.items()}
        self._optimizer = torch.optim.SGD(self._outer.values(), lr=learning_rate, momentum=momentum, nesterov=True)
        for name, momentum_buffer in state.items():
            outer = self._outer[name]
            self._optimizer.state[outer]["momentum_buffer"] = torch.empty_like(outer).copy_(momentum_buffer)

    @torch.no_grad()
    def step(self) -> None:
        """Replaces the parameters, which are the workers' mean, by the outer optimizer's."""
        for name, parameter in self._parameters.items():
            self._outer[name].grad = self._outer[name] - parameter
        self._optimizer.step()
        for name, parameter in self._parameters.items():
            parameter.copy_(self._outer[name])

    def state(self) -> dict[str, torch.Tensor]:
        """The momentum, by parameter."""
        state = {name: self._optimizer.state[outer].get("momentum_buffer") for name, outer in self._outer.items()}
        return {name: momentum for name, momentum in state.items() if momentum is not None}

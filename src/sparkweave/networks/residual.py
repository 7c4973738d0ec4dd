"""The one building block that a plain chain of layers lacks: a path around some of them."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """``body(x) + shortcut(x)``; put an activation after it as the next layer.

    He et al., Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385.

    Args:
        body: The layers that learn the difference.
        shortcut: Layers that give ``x`` the body's output shape; None passes ``x`` on as it is.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both paths, of the body's output shape.

        Raises:
            ValueError: if the paths' shapes differ, instead of letting one be broadcast over the other.
        """
        changed: torch.Tensor = self.body(x)
        passed: torch.Tensor = self.shortcut(x)
        if changed.shape != passed.shape:
            raise ValueError(
                f"Residual adds its body's output {tuple(changed.shape[1:])} to its shortcut's {tuple(passed.shape[1:])},"
                " and they must be of one shape: give it a shortcut (such as a Conv2d with kernel_size 1 and the same"
                " out_channels and stride), or pad the body's convolutions"
            )
        return changed + passed

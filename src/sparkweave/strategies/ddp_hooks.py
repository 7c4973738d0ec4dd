"""PyTorch's own ways to send gradients in fewer bytes, from `torch.distributed.algorithms.ddp_comm_hooks`.

They are made for DistributedDataParallel, and ask of it no more than a bucket of gradients, which is what they get here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.torch_collective import TorchCollective
from sparkweave.errors import ConfigError
from sparkweave.strategies.base import NOTHING, Replica

_BUCKET = 0
_DENSE_STEPS = 10  # PowerSGD's error feedback wants some exact steps first
_HALF_HOOKS = {torch.float16: default_hooks.fp16_compress_hook, torch.bfloat16: default_hooks.bf16_compress_hook}


class _Bucket:
    """What a hook asks of DistributedDataParallel's ``GradBucket``: all gradients, contiguous, in one flat buffer."""

    def __init__(self, replica: Replica) -> None:
        self._parameters = replica.parameters()
        dtypes = {(parameter.dtype, parameter.device) for parameter in self._parameters}
        if len(dtypes) > 1:
            raise ConfigError(
                f"the parameters are of several types ({', '.join(sorted(map(str, dtypes)))}), and a compression of "
                "gradients takes one; train with --compression none"
            )
        first = self._parameters[0]
        self._flat = torch.empty(sum(p.numel() for p in self._parameters), dtype=first.dtype, device=first.device)
        sizes = [parameter.numel() for parameter in self._parameters]
        pieces = torch.split(self._flat, sizes)
        self._views = [piece.view(parameter.shape) for piece, parameter in zip(pieces, self._parameters, strict=True)]

    def fill(self, factor: float) -> None:
        """Takes the parameters' gradients, times ``factor``."""
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is None or not factor:  # a product with 0 would keep a NaN
                view.zero_()
            else:
                torch.mul(parameter.grad, factor, out=view)

    def spill(self, averaged: torch.Tensor) -> None:
        """Gives the parameters their gradients."""
        if averaged.data_ptr() != self._flat.data_ptr():
            self._flat.copy_(averaged)
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(view)

    def buffer(self) -> torch.Tensor:
        return self._flat

    def gradients(self) -> list[torch.Tensor]:
        return self._views

    def parameters(self) -> list[torch.nn.Parameter]:
        return self._parameters

    def index(self) -> int:
        return _BUCKET

    def is_last(self) -> bool:
        return True


class _Hooked:
    """Runs a hook on all gradients at once."""

    def __init__(self, replica: Replica, collective: Collective) -> None:
        if not isinstance(collective, TorchCollective):
            raise ConfigError(
                "a compression of gradients is PyTorch's own and needs workers that torch.distributed connects; "
                "train with --compression none, or with --transport collective"
            )
        self._collective = collective
        self._bucket = _Bucket(replica)

    def _run(self, hook: Callable[..., Any], state: Any, weight: float, size: Callable[[], int]) -> None:
        # The hooks take the plain mean.
        self._bucket.fill(weight * self._collective.world_size)
        with self._collective.summing() as count:
            averaged = hook(state, self._bucket).wait()
            count(size())
        self._bucket.spill(averaged)


class HalfPrecision(_Hooked):
    """Sends gradients in two bytes each."""

    def __init__(self, replica: Replica, collective: Collective, dtype: torch.dtype) -> None:
        super().__init__(replica, collective)
        self._hook = _HALF_HOOKS[dtype]

    def average(self, examples: int, total: int) -> None:
        """See `GradientAverager.average`."""
        self._run(self._hook, None, examples / total, lambda: 2 * self._bucket.buffer().numel())

    def local_state(self) -> Mapping[str, Any]:
        """None."""
        return NOTHING


class PowerSGD(_Hooked):
    """Sends a low-rank approximation of each matrix of gradients, and adds its error to the next step's."""

    def __init__(self, replica: Replica, collective: Collective, *, rank: int, local: Mapping[str, Any]) -> None:
        super().__init__(replica, collective)
        self._state = powerSGD_hook.PowerSGDState(
            process_group=None, matrix_approximation_rank=rank, start_powerSGD_iter=_DENSE_STEPS
        )
        self._state.iter = local.get("iteration", 0)
        for name, memory in self._memories().items():
            if name in local:
                memory[_BUCKET] = local[name].to(self._bucket.buffer().device)

    def average(self, examples: int, total: int) -> None:
        """See `GradientAverager.average`."""
        buffer, before = self._bucket.buffer(), self._state.total_numel_after_compression

        def size() -> int:
            """Steps that compress nothing count nothing."""
            return (self._state.total_numel_after_compression - before or buffer.numel()) * buffer.element_size()

        self._run(powerSGD_hook.powerSGD_hook, self._state, examples / total, size)

    def local_state(self) -> Mapping[str, Any]:
        """The errors that are left, and the approximations that the next step starts from."""
        kept = {name: memory[_BUCKET] for name, memory in self._memories().items() if _BUCKET in memory}
        return {"iteration": self._state.iter, **kept}

    def _memories(self) -> dict[str, dict[int, torch.Tensor]]:
        return {"errors": self._state.error_dict, "p": self._state.p_memory_dict, "q": self._state.q_memory_dict}

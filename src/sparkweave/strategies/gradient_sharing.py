"""Gradient sharing: workers exchange the few updates that matter, quantized to one size, at every step.

After its optimizer's step a worker adds the update, weighted by its examples, to a residual. Entries of the residual beyond
±threshold are sent as ±threshold, and what is left waits for a later step (error feedback). Every worker applies all workers'
messages in the order of the ranks, so the parameters that they have in common stay the same bit for bit, with a thousandth of the
bytes. The optimizers' states and the residuals are each worker's own; a worker goes on from the common parameters and its residual.
Source: Strom, Scalable Distributed DNN Training Using Commodity GPU Cloud Computing (Interspeech 2015). As in Deeplearning4j's
SharedTrainingMaster, it is the optimizer's update that is sent and not the gradient, so that optimizers such as Adam can be used.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import torch

from sparkweave.compression.frame import decode, encode
from sparkweave.compression.thresholds import THRESHOLD_ALGORITHMS
from sparkweave.compression.update import Floats, Update
from sparkweave.config import require_at_least, require_choice, require_positive
from sparkweave.distributed.collective import Collective
from sparkweave.errors import ConfigError, TrainingError
from sparkweave.strategies.averaging import agree, average
from sparkweave.strategies.base import NOTHING, Costs, OptimizerState, Replica, Sparsity
from sparkweave.strategies.flat import flatten, flatten_like, plain
from sparkweave.strategies.quantized import Quantized

STALENESSES = (0, 1)
_BUCKET_ELEMENTS = 1 << 22
_SAMPLED_ELEMENTS = 1 << 16
_EXCHANGES_BETWEEN_CLIPPINGS = 5


@dataclasses.dataclass(frozen=True)
class GradientSharing:
    """Exchanges sparse, quantized updates, see this module.

    Attributes:
        threshold: What is sent of an update's entry, and what its residual must reach for that; at first, where it adapts.
        threshold_algorithm: ``fixed``; ``adaptive``, which keeps the sent fraction between 1e-4 and 1e-2; or
            ``target-sparsity``, which keeps it at ``target_sparsity``.
        target_sparsity: See above; a fraction of the parameters.
        exchange_frequency: Steps between two exchanges. In between a worker trains alone, as with parameter averaging.
        apply_residual: Whether a worker trains on the common parameters plus its own residual, and so has all of its own updates
            at once. Otherwise all train on the common parameters alone, as in Deeplearning4j.
        residual_clipping: Residuals are clipped to so many thresholds, every 5 exchanges, so that old updates do not
            pile up; 0 never clips them.
        staleness: 0 waits for the messages of an exchange before the next step; 1 lets it run until the next exchange, so that
            gradients lack the peers' last updates.

    Raises:
        ConfigError: if an option breaks its rule.
    """

    threshold: float = 1e-3
    threshold_algorithm: str = "target-sparsity"
    target_sparsity: float = 0.03
    exchange_frequency: int = 10
    apply_residual: bool = True
    residual_clipping: float = 5.0
    staleness: int = 0
    name: ClassVar[str] = "gradient-sharing"

    def __post_init__(self) -> None:
        require_positive("threshold", self.threshold)
        require_choice("threshold_algorithm", self.threshold_algorithm, tuple(THRESHOLD_ALGORITHMS))
        require_positive("target_sparsity", self.target_sparsity)
        if self.target_sparsity > 1:
            raise ConfigError(f"target_sparsity is {self.target_sparsity}; it must be at most 1")
        require_at_least("exchange_frequency", self.exchange_frequency, 1)
        if self.residual_clipping:
            require_positive("residual_clipping", self.residual_clipping)
        if self.staleness not in STALENESSES or isinstance(self.staleness, bool):
            raise ConfigError(f"staleness is {self.staleness!r}; it must be 0 or 1")

    @property
    def optimizer_state(self) -> OptimizerState:
        """Each worker's optimizer has seen its own gradients alone."""
        return "local"

    def synchronizer(
        self,
        replica: Replica,
        collective: Collective,
        *,
        shared: Mapping[str, torch.Tensor] = NOTHING,
        local: Mapping[str, Any] = NOTHING,
    ) -> _SharingSynchronizer:
        """See `Strategy.synchronizer`."""
        return _SharingSynchronizer(self, replica, collective, local)


@dataclasses.dataclass(frozen=True)
class _Sent:
    """One bucket's own update, and the frames of all ranks when they are there."""

    update: Update
    frames: Future[list[bytes]]


class _SharingSynchronizer:
    def __init__(
        self, options: GradientSharing, replica: Replica, collective: Collective, local: Mapping[str, Any]
    ) -> None:
        self._options = options
        self._replica = replica
        self._collective = collective
        self._stopwatch = {"encode": 0.0, "wait": 0.0, "apply": 0.0}
        self._exchanges = local.get("exchanges", 0)
        self._threshold: float = local.get("threshold", options.threshold)
        self._algorithm = THRESHOLD_ALGORITHMS[options.threshold_algorithm](options.target_sparsity)
        self._sent_fraction: float = local.get("sent_fraction", 0.0)
        self._steps = 0
        self._examples = self._total = 0
        self._epoch_examples = self._epoch_total = 0
        if collective.world_size > 1:
            self._prepare(replica, local.get("residual", NOTHING))
        self._pending: collections.deque[list[_Sent]] = collections.deque()
        self._exchange = ThreadPoolExecutor(1, thread_name_prefix="sparkweave-exchange")

    def _prepare(self, replica: Replica, residual: Mapping[str, torch.Tensor]) -> None:
        parameters = replica.parameters()
        kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
        if len(kinds) > 1 or parameters[0].dtype != torch.float32:
            raise ConfigError(
                f"the network has parameters of {', '.join(sorted(map(str, kinds)))}; gradient sharing takes float32 "
                "on one device: train with --strategy parameter-averaging"
            )
        (self._parameters,) = flatten(parameters, plain).buffers
        self._common = self._parameters.clone()
        self._start = self._common.clone()
        self._update = torch.empty_like(self._common)
        kept = flatten_like(parameters, plain)
        (self._residual,) = kept.buffers
        self._residual.zero_()
        self._residuals = dict(zip(replica.names(), kept.views, strict=True))
        for name, tensor in residual.items():
            self._residuals[name].copy_(tensor)
        residuals, commons = (torch.split(flat, _BUCKET_ELEMENTS) for flat in (self._residual, self._common))
        self._buckets = [Quantized(residual, common) for residual, common in zip(residuals, commons, strict=True)]

    def gradients_ready(self, examples: int, total: int) -> None:
        pass

    def step_ended(self, examples: int, total: int) -> None:
        if self._collective.world_size == 1:
            return
        self._steps += 1
        self._examples += examples
        self._total += total
        if self._steps == self._options.exchange_frequency:
            self._share()

    @torch.no_grad()
    def epoch_ended(self) -> None:
        if self._collective.world_size == 1:
            return
        if self._steps:
            self._share()
        self._receive(0)
        self._parameters.copy_(self._common)
        self._start.copy_(self._common)
        with self._timed("wait"):
            self._require_same()
            statistics = flatten(self._replica.statistics(), self._collective.empty)
            average(statistics.buffers, self._epoch_examples, self._epoch_total, self._collective)
            agree(self._replica.counters(), self._collective)
        self._epoch_examples = self._epoch_total = 0

    @torch.no_grad()
    def _share(self) -> None:
        with self._timed("encode"):
            self._take_update(self._examples / self._total)
            self._pending.append([self._send(bucket) for bucket in self._buckets])
            sent = sum(sent.update.count for sent in self._pending[-1])
            self._sent_fraction = sent / self._residual.numel()
        self._receive(self._options.staleness)
        with self._timed("apply"):
            if self._options.apply_residual:
                torch.add(self._common, self._residual, out=self._parameters)
            else:
                self._parameters.copy_(self._common)
            self._start.copy_(self._parameters)
        self._epoch_examples += self._examples
        self._epoch_total += self._total
        self._steps = self._examples = self._total = 0

    def _take_update(self, weight: float) -> None:
        """Moves what the optimizer has done to the parameters into the residual."""
        if weight:
            torch.sub(self._parameters, self._start, out=self._update)
            self._residual.add_(self._update, alpha=weight)
        if self._exchanges or self._options.threshold_algorithm == "target-sparsity":
            self._threshold = self._algorithm.next_threshold(self._threshold, self._sent_fraction, self._magnitudes)
        self._exchanges += 1
        if self._options.residual_clipping and self._exchanges % _EXCHANGES_BETWEEN_CLIPPINGS == 0:
            most = self._options.residual_clipping * self._threshold
            self._residual.clamp_(-most, most)

    def _send(self, bucket: Quantized) -> _Sent:
        update = bucket.take(self._threshold)
        return _Sent(update, self._exchange.submit(self._collective.all_gather_bytes, encode(update)))

    def _magnitudes(self) -> Floats:
        stride = -(-self._residual.numel() // _SAMPLED_ELEMENTS)
        sample: Floats = self._residual[::stride].abs().cpu().numpy()
        return sample

    def _receive(self, left: int) -> None:
        """Applies what has been sent, but the messages of the last ``left`` exchanges."""
        while len(self._pending) > left:
            for bucket, sent in zip(self._buckets, self._pending.popleft(), strict=True):
                with self._timed("wait"):
                    frames = sent.frames.result()
                with self._timed("apply"):
                    for rank, frame in enumerate(frames):
                        own = rank == self._collective.rank
                        bucket.apply(sent.update if own else decode(frame, bucket.size))

    def _require_same(self) -> None:
        """Only sums of the same numbers in the same order change the parameters, so this holds between machines of all kinds."""
        digest = hashlib.blake2b(self._common.cpu().numpy().data, digest_size=16).digest()
        digests = self._collective.all_gather_bytes(digest)
        differing = [str(rank) for rank, other in enumerate(digests) if other != digests[0]]
        if differing:
            raise TrainingError(
                f"the parameters of the workers {', '.join(differing)} are no longer those of worker 0: the memory or the "
                "network of a machine corrupts data, or this is a defect; --resume goes on from the last checkpoint"
            )

    def costs(self) -> Costs:
        return Costs(
            encode_seconds=self._stopwatch["encode"],
            wait_seconds=self._stopwatch["wait"],
            apply_seconds=self._stopwatch["apply"],
            bytes_sent=self._collective.bytes_sent,
            bytes_received=self._collective.bytes_received,
        )

    def sparsity(self) -> Sparsity | None:
        if self._collective.world_size == 1:
            return None
        norm = float(torch.linalg.vector_norm(self._residual))
        return Sparsity(sent_fraction=self._sent_fraction, threshold=self._threshold, residual_norm=norm)

    def shared_state(self) -> Mapping[str, torch.Tensor]:
        return NOTHING

    def local_state(self) -> Mapping[str, Any]:
        if self._collective.world_size == 1:
            return NOTHING
        return {
            "residual": self._residuals,
            "threshold": self._threshold,
            "sent_fraction": self._sent_fraction,
            "exchanges": self._exchanges,
        }

    def close(self) -> None:
        self._exchange.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._stopwatch[part] += time.perf_counter() - began

"""A trained model on disk: one folder, or one ``.zip``.

=========================  ===================================================================================
``config.json``            network, input shape, preprocessing, labels, class names, versions
``model.safetensors``      weights and buffers by name
``optimizer.safetensors``  the optimizer's state, if it is saved
``history.json``           event records of the run
``evaluation.json``        counts and figures on the test images, if it was evaluated
``README.md``              a card for people
``manifest.json``          length and SHA-256 of each
=========================  ===================================================================================
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sparkweave._version import __version__
from sparkweave.artifacts.card import model_card
from sparkweave.artifacts.sealed import MAX_BYTES, read_sealed, write_sealed
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.artifacts.tensors import pack_state, pack_tensors, unpack_state, unpack_tensors
from sparkweave.errors import ArtifactError

KIND = "model"
_CONFIG, _WEIGHTS, _OPTIMIZER, _HISTORY, _EVALUATION, _CARD = (
    "config.json",
    "model.safetensors",
    "optimizer.safetensors",
    "history.json",
    "evaluation.json",
    "README.md",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelArtifact:
    """All that a trained model is, apart from code.

    Attributes:
        config: JSON-ready. ``network`` (what `sparkweave.networks.describe_network` returned), ``input_shape``
            ([C, H, W] of images, [numbers] of vectors) and ``labels`` (distinct, in the order of the outputs; none where ``task``
            is ``regression``) must be there; ``class_names`` (class
            name by label), ``preprocessing`` and anything else may be. Loaded, it has ``versions`` too.
        weights: The network's ``state_dict``.
        optimizer: The optimizer's ``state_dict``, or None.
        history: Event records (`sparkweave.events.to_record`).
        evaluation: On the test images, as `sparkweave.metrics.document.to_document` returned it, or None.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    evaluation: Mapping[str, Any] | None = None

    def save(self, url: str, *, overwrite: bool = False, save_optimizer: bool = True, storage: Storage = LOCAL) -> None:
        """Writes it at ``url``, a folder, or a ZIP if that ends in ``.zip``; see `sparkweave.artifacts.sealed`.

        The same model gives the same bytes.

        Raises:
            ArtifactError: if something is in the way, the disk refuses, or a value is not one that is saved.
        """
        write_sealed(url, self._blobs(save_optimizer=save_optimizer), kind=KIND, overwrite=overwrite, storage=storage)

    @classmethod
    def load(cls, url: str, *, storage: Storage = LOCAL, max_bytes: int = MAX_BYTES) -> ModelArtifact:
        """Reads and checks the model at ``url``. No code of its own is run.

        Raises:
            ArtifactError: if there is none, it is longer than ``max_bytes``, or it is not exactly what was saved.
        """
        blobs = read_sealed(url, kind=KIND, max_bytes=max_bytes, storage=storage)
        try:
            return cls._from_blobs(blobs)
        except ArtifactError as error:
            raise ArtifactError(f"{url}: {error}") from error

    def _blobs(self, *, save_optimizer: bool) -> dict[str, bytes]:
        config = {"versions": _versions(), **self.config}
        _check_config(config)
        optimizer = self.optimizer if save_optimizer else None
        parameters = sum(math.prod(tensor.shape) for tensor in self.weights.values())
        card = model_card(
            config,
            self.history,
            parameters=parameters,
            has_optimizer=optimizer is not None,
            has_evaluation=self.evaluation is not None,
        )
        blobs = {
            _CONFIG: _json(config, _CONFIG),
            _WEIGHTS: pack_tensors(self.weights),
            _HISTORY: _json(_without_nan(list(self.history)), _HISTORY),
            _CARD: card.encode(),
        }
        if optimizer is not None:
            blobs[_OPTIMIZER] = pack_state(optimizer)
        if self.evaluation is not None:
            blobs[_EVALUATION] = _json(_without_nan(self.evaluation), _EVALUATION, indent=None)
        return blobs

    @classmethod
    def _from_blobs(cls, blobs: Mapping[str, bytes]) -> ModelArtifact:
        for name in (_CONFIG, _WEIGHTS, _HISTORY):
            if name not in blobs:
                raise ArtifactError(f"it has no {name}, so it is no model; save it again")
        config = _parsed(blobs[_CONFIG], dict, _CONFIG)
        _check_config(config)
        return cls(
            config=config,
            weights=unpack_tensors(blobs[_WEIGHTS]),
            optimizer=unpack_state(blobs[_OPTIMIZER]) if _OPTIMIZER in blobs else None,
            history=_parsed(blobs[_HISTORY], list, _HISTORY),
            evaluation=_parsed(blobs[_EVALUATION], dict, _EVALUATION) if _EVALUATION in blobs else None,
        )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "sparkweave": __version__, "torch": str(torch.__version__)}


def _check_config(config: Mapping[str, Any]) -> None:
    rules = {
        "network": isinstance(config.get("network"), str | Mapping),
        "input_shape": _is_shape(config.get("input_shape")),
        "task": config.get("task", "classification") in ("classification", "regression"),
        "labels": _are_labels(config.get("labels"))
        or (config.get("task") == "regression" and config.get("labels") == []),
        "class_names": _is_text_by_text(config.get("class_names") or {}),
        "versions": isinstance(config.get("versions", {}), Mapping),
    }
    for name, holds in rules.items():
        if not holds:
            raise ArtifactError(
                f"{name} in {_CONFIG} is {config.get(name)!r:.200}; the rule: network a text or mapping, input_shape"
                " [channels, height, width] or [numbers], labels distinct texts (none for the task regression), class_names texts by label"
            )


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) in (1, 3) and all(type(n) is int and n > 0 for n in value)


def _are_labels(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(label, str) for label in value):
        return False
    return len(set(value)) == len(value)


def _is_text_by_text(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair)


def _json(value: Any, name: str, *, indent: int | None = 1) -> bytes:
    try:
        return (json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{name} can't be written as JSON ({error}); give plain, finite values") from error


def _parsed(content: bytes, form: type, name: str) -> Any:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name} is not JSON ({error}); save the model again") from error
    if not isinstance(value, form):
        raise ArtifactError(
            f"{name} holds a {type(value).__name__} where a {form.__name__} belongs; save the model again"
        )
    return value


def _without_nan(value: Any) -> Any:
    """JSON has no NaN, and a run that diverged must still be saved: null stands for it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _without_nan(item) for name, item in value.items()}
        case list() | tuple():
            return [_without_nan(item) for item in value]
    return value

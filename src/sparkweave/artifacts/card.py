"""The README of a saved model: what it is, how good it is, how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_LABELS_SHOWN = 20
_INPUT = {3: "Input (channels, height, width)", 1: "Input (numbers of a vector)"}
_TEMPLATE = """\
# A model trained with sparkweave

| | |
| --- | --- |
{rows}

Load it:

```python
from sparkweave import TrainedModel

model = TrainedModel.load("path/to/this/model")
network = model.network()  # a torch.nn.Module
```

or predict from the command line: `sparkweave predict path/to/this/model images.zip --output predictions.parquet`.

Files: `config.json` (network, input shape, preprocessing, labels, versions), `model.safetensors` (weights),
{optimizer}`history.json` (what happened during training), {evaluation}`manifest.json` (length and SHA-256 of each file).
Any change makes the model refuse to load.
"""


def model_card(
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    *,
    parameters: int,
    has_optimizer: bool,
    has_evaluation: bool = False,
) -> str:
    """The card as Markdown.

    Args:
        config: As in `sparkweave.artifacts.model.ModelArtifact`.
        history: Event records, the last of which give the figures.
        parameters: Number of weights, buffers included.
        has_optimizer: Whether the optimizer's state is saved too.
        has_evaluation: Whether an evaluation is.
    """
    rows = {
        "Network": _network(config["network"]),
        _INPUT[len(config["input_shape"])]: ", ".join(map(str, config["input_shape"])),
        **({"Classes": _classes(config)} if config["labels"] else {"Predicts": "a number"}),
        "Weights": f"{parameters:,}",
        **_figures(history),
        **{f"Version of {_code(name)}": _code(version) for name, version in config.get("versions", {}).items()},
    }
    return _TEMPLATE.format(
        rows="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        optimizer="`optimizer.safetensors` (the optimizer's state), " if has_optimizer else "",
        evaluation="`evaluation.json` (figures on the test examples), " if has_evaluation else "",
    )


def _network(network: Any) -> str:
    text = network if isinstance(network, str) else json.dumps(network, sort_keys=True)
    return _code(text if len(text) <= 200 else text[:199] + "…")


def _classes(config: Mapping[str, Any]) -> str:
    labels, names = config["labels"], config.get("class_names") or {}
    shown = [_code(f"{label}: {names[label]}" if label in names else label) for label in labels[:_LABELS_SHOWN]]
    more = f" and {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return f"{len(labels)}: {', '.join(shown)}{more}"


def _figures(history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of the last epoch, and the last evaluation after it."""
    figures = {}
    for record in history:
        if record.get("event") == "epoch":
            figures["Epochs"] = str(record.get("epoch"))
            figures["Loss on the training examples"] = _number(record.get("loss"))
        if record.get("event") == "evaluation":
            figures["Accuracy on the test examples"] = _number(record.get("accuracy"))
            figures["Loss on the test examples"] = _number(record.get("loss"))
    return figures


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"


def _code(text: Any) -> str:
    """As inline code: labels come from file names, and none of them may become a link, HTML, or another table cell."""
    safe = "".join(character if character.isprintable() and character not in "`|\\" else "?" for character in str(text))
    return f"`{safe}`" if safe.strip() else "` `"

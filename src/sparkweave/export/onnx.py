"""A model as an ONNX graph: it takes what a program has at hand, and gives what `Predictor` gives.

===============  ====================================================  =========================================
a model of       input                                                 output
===============  ====================================================  =========================================
images           ``images``: uint8 (batch, height, width, channels)    ``probabilities``: float32 (batch, classes)
vectors          ``vectors``: float32 (batch, numbers)                 ``probabilities``
either, numbers  as above                                              ``numbers``: float32 (batch, 1)
===============  ====================================================  =========================================

Normalization and softmax are part of the graph, and numbers are in their own unit: whoever runs it needs to know nothing else. The
graph's metadata has ``task``, ``input_shape``, ``labels`` (in the order of the outputs), ``class_names``, ``versions``, all as
JSON, and ``model``, a digest of network and weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sparkweave._version import __version__
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.one_file import OneFile
from sparkweave.errors import ArtifactError
from sparkweave.export.quiet import quiet
from sparkweave.extras import require_extra
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask

VERIFIED_BATCHES = (1, 2, 8)
"""Rows of the batches on which the graph must agree with `Predictor`."""

TOLERANCE = 1e-4
"""How far a probability may be from the predictor's; of numbers, that share of their distance from the mean plus one deviation."""

ONNX_FILE = OneFile(signature=b"\x12\x0asparkweave", writer="sparkweave export")  # the field producer_name

_MAX_BYTES = (2 << 30) - (1 << 20)  # a protocol buffer ends at 2 GiB; a little is for all that isn't weights


def check_onnx() -> None:
    """Raises ConfigError unless all that an export needs is installed."""
    require_extra("onnx", "onnx", "onnxruntime", "onnxscript", what="an export to ONNX")


def to_onnx(artifact: ModelArtifact, *, allow_code: bool = False) -> bytes:
    """The graph of a model, after it has been verified at the batch sizes `VERIFIED_BATCHES`.

    Args:
        artifact: The model.
        allow_code: Whether a network of the user's own code may be imported.

    Raises:
        ConfigError: if the extra is missing, or the network is user code that isn't allowed.
        ArtifactError: if the network can't be exported, or the graph does not predict as it does.
    """
    check_onnx()
    task, weights = PredictorTask.of(artifact, allow_code=allow_code)
    if len(weights) > _MAX_BYTES:
        raise ArtifactError(f"the weights have {len(weights):,} bytes, and an ONNX file can't have more than 2 GiB")
    predictor = Predictor(task, weights)
    content = _exported(predictor, _metadata(artifact.config, task))
    _verify(content, predictor)
    return content


class _Graph(nn.Module):
    """All that a predictor does to a batch, as one module."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.network = predictor.network  # so that its weights are known by their names
        self._compute = predictor.compute

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._compute(inputs)


def _exported(predictor: Predictor, metadata: Mapping[str, str]) -> bytes:
    example = torch.from_numpy(example_inputs(predictor.task, 2))
    try:
        with quiet():
            program = torch.onnx.export(
                _Graph(predictor).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[_input_name(predictor.task)],
                output_names=[_output_name(predictor.task)],
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        _sign(model, metadata)
        content: bytes = model.SerializeToString()
    except Exception as error:
        name = predictor.task.network["name"]
        raise ArtifactError(
            f"network {name} can't be exported to ONNX: {_first_line(error)}. Its forward must be made of operations on tensors"
            " alone, for any number of rows: no branches on values, no loops over the batch"
        ) from error
    return content


def _sign(model: Any, metadata: Mapping[str, str]) -> None:
    """Says who made it; and leaves out where in whose files each operation was written down."""
    model.producer_name, model.producer_version = "sparkweave", __version__
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for function in model.functions:
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)


def _metadata(config: Mapping[str, Any], task: PredictorTask) -> dict[str, str]:
    described = {
        "task": config.get("task", "classification"),
        "input_shape": config["input_shape"],
        "labels": config["labels"],
        "class_names": config.get("class_names") or {},
        "versions": config.get("versions") or {},
    }
    return {**{name: json.dumps(value) for name, value in described.items()}, "model": task.model}


def _verify(content: bytes, predictor: Predictor) -> None:
    """Raises ArtifactError unless the graph predicts as ``predictor`` does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for rows in VERIFIED_BATCHES:
            inputs = example_inputs(predictor.task, rows)
            (found,) = session.run(None, {_input_name(predictor.task): inputs})
            _compare(found, predictor(inputs), predictor.task)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"ONNX Runtime does not run the exported network: {_first_line(error)}") from error


def _compare(found: npt.NDArray[Any], expected: npt.NDArray[np.float32], task: PredictorTask) -> None:
    scale = 1.0 if task.target is None else task.target.deviation + np.abs(expected - task.target.mean)
    if found.shape == expected.shape:
        distance = float(np.max(np.abs(found - expected) / scale))  # not a number where either isn't one
        if distance <= TOLERANCE:
            return
        problem = f"is up to {distance:g} from it, where {TOLERANCE:g} are allowed"
    else:
        problem = f"has the shape {found.shape}, not {expected.shape}"
    raise ArtifactError(
        f"the exported network does not predict as the network does: for a batch of {len(expected)} its output {problem}. "
        "Nothing was written; look for what the network makes up by itself, such as random numbers"
    )


def example_inputs(task: PredictorTask, rows: int) -> npt.NDArray[Any]:
    """Inputs that a model may be tried with: pixels at random, or vectors spread as the training examples are."""
    generator = np.random.default_rng(rows)
    if len(task.input_shape) == 3:
        channels, height, width = task.input_shape
        return generator.integers(0, 256, (rows, height, width, channels), np.uint8)
    return (generator.normal(size=(rows, *task.input_shape)) * task.deviation + task.mean).astype(np.float32)


def _input_name(task: PredictorTask) -> str:
    return "images" if len(task.input_shape) == 3 else "vectors"


def _output_name(task: PredictorTask) -> str:
    return "probabilities" if task.target is None else "numbers"


def _first_line(error: BaseException) -> str:
    """Of what went wrong in the first place: an exporter wraps it, and adds pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)

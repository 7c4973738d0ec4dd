"""An evaluation as plain data that is kept beside a model: the counts, from which it is restored, and figures for who only reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.metrics.regression import RegressionEvaluation

AnyEvaluation: TypeAlias = Evaluation | RegressionEvaluation

_LARGEST = 1 << 100


def to_document(evaluation: AnyEvaluation) -> dict[str, Any]:
    """All of ``evaluation``, JSON-ready: ``kind`` (``classification`` or ``regression``), counts and figures.

    A classification has ``labels`` and ``confusion`` (actual classes are rows). Figures that are 0/0 are None.

    Example:
        >>> document = to_document(Evaluation(["cat", "dog"]))
        >>> document["kind"], document["labels"], document["confusion"]
        ('classification', ['cat', 'dog'], [[0, 0], [0, 0]])
    """
    kind = "classification" if isinstance(evaluation, Evaluation) else "regression"
    figures = json.loads(evaluation.to_json())
    if figures.get("binary"):
        del figures["binary"]["curves"]  # which are as long as the counts that they are made of
    return {"kind": kind, **figures, **evaluation.to_dict()}


def from_document(document: Mapping[str, Any], *, class_names: Mapping[str, str] | None = None) -> AnyEvaluation:
    """The inverse of `to_document`; only the counts are looked at.

    Raises:
        ArtifactError: if it is none.
    """
    try:
        evaluation = _restored(document, class_names)
        evaluation.left_out = _count(document["left_out"])
        evaluation.left_out_reasons = tuple(str(reason) for reason in document["left_out_reasons"])
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, ConfigError) as error:
        raise ArtifactError(
            f"the evaluation that is saved with the model can't be read ({error!r:.200}); evaluate it again, and use the version of"
            " sparkweave that saved it"
        ) from error
    return evaluation


def _restored(document: Mapping[str, Any], class_names: Mapping[str, str] | None) -> AnyEvaluation:
    _count(document["examples"])
    if document["kind"] == "classification":
        for count in (document["loss_units"], *document["hits"]):
            _count(count)
        return Evaluation.from_dict(document, class_names=class_names)
    if document["kind"] == "regression":
        return RegressionEvaluation.from_dict(document)
    raise ValueError(f"its kind is {document['kind']!r:.80}")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(f"{value!r:.80} is no count")
    return value

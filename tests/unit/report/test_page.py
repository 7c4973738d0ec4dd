from __future__ import annotations

import doctest
import html.parser
import math
import re
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.evaluations import FASHION, classified, estimated
from tests.unit.report.histories import OPTIONS, epoch_ended, records, started, step_measured

from sparkweave.errors import ArtifactError
from sparkweave.events import KINDS, Event, Restarted, to_record
from sparkweave.report import page as module
from sparkweave.report.page import Run, render_page

HOSTILE = '</title></style><script>alert(1)</script><img src=x onerror="a()">\'"&\x1b[2J\u202e'
EMPTY_ELEMENTS = {"meta", "link"}


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


class Outline(html.parser.HTMLParser):
    """A page's elements, attributes and text; that each element is closed is checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += f" {data}"


def page(history: list[dict[str, Any]], **fields: Any) -> str:
    return render_page(Run(name="digits.zip", history=history, **fields))


def text_of(history: list[dict[str, Any]], **fields: Any) -> str:
    words = " ".join(Outline(page(history, **fields)).text.split())
    return words.replace("\N{NO-BREAK SPACE}", " ")


def test_a_whole_run_has_all_sections() -> None:
    text = text_of(records(resharded=9), options=OPTIONS, versions={"torch": "2.15.0"})
    for expected in (
        "ended after 12 epochs", "Is it learning? Yes: ", "Learning Training figures", "Where the time goes", "By worker, mean step",
        "Workers by the clock", "A usual step: epoch ", "The slowest step: epoch 1, step 1", "What is exchanged", "Threshold",
        "Share of the parameters that is sent", "Norm of the residual", "After epoch 6: run again from epoch 6 (attempt 2)",
        "went on with 2 of 3 workers", "batch_size 64", "strategy.threshold 0.001", "The network's layers", "trained with torch 2.15.0",
    ):  # fmt: skip
        assert expected in text, expected


def test_two_classes_have_curves_a_table_of_thresholds_and_a_confusion_matrix() -> None:
    text = text_of(records(), evaluation=classified(2), class_names={"1": "dog"})
    for expected in (
        "Evaluation The model that was saved", "Examples 2,000 Accuracy", "ROC AUC 0.", "Average precision 0.", "ROC curve", "Precision and recall",
        "Reliability", "Expected calibration error: ", "What is taken for what", "Positive is “dog”", "Figures by class",
    ):  # fmt: skip
        assert expected in text, expected
    assert "frequent confusions" not in text


def test_several_classes_have_a_confusion_matrix_with_counts() -> None:
    evaluation = classified(10)
    names = {str(number): name for number, name in enumerate(FASHION)}
    content = page([], evaluation=evaluation, class_names=names)
    text = text_of([], evaluation=evaluation, class_names=names)
    assert f" Bag {' '.join(str(count) for count in evaluation['confusion'][8] if count)} Ankle boot" in text
    assert content.count("<td style=") + content.count('<td class="right" style=') == 100
    assert "ROC AUC, each against the others" in text
    assert "ROC curve" not in text


def test_many_classes_have_their_worst_confusions() -> None:
    text = text_of([], evaluation=classified(40))
    assert "The most frequent confusions is is taken for examples of its class 27 28 13 22.8 %" in text
    assert "What is taken for what" not in text
    assert "classes with the lowest F1" not in text
    assert "The 64 of 90 classes with the lowest F1" in text_of([], evaluation=classified(90))


def test_numbers_have_their_figures() -> None:
    evaluation = estimated()
    text = text_of(records(), evaluation=evaluation)
    (figures,) = evaluation["outputs"]
    assert f"Evaluation The model that was saved, on the test examples. Examples {evaluation['examples']} " in text
    assert f"{figures['r2']:.4f} {figures['explained_variance']:.4f} {figures['correlation']:.4f}" in text
    assert "Errors of prediction" in text
    assert "Half of the predictions are off by at most" in text
    assert "Reliability" not in text


def test_a_model_without_an_evaluation_or_with_an_empty_one_has_no_such_section() -> None:
    assert "The model that was saved" not in text_of(records())
    assert "The model that was saved" not in text_of(records(), evaluation=classified(3, examples=0))


def test_an_evaluation_that_is_none_is_refused_with_the_runs_name() -> None:
    with pytest.raises(ArtifactError, match=r"digits\.zip: the evaluation that is saved with the model can't be read"):
        page([], evaluation={"kind": "classification"})


def test_without_measured_steps_it_says_how_to_get_them() -> None:
    text = text_of(records(every=0))
    assert "sparkweave train --collect-training-stats" in text
    assert "Workers by the clock" not in text
    assert "Time of an epoch" in text
    assert "--collect-training-stats" not in text_of(records())


def test_strategies_that_send_everything_have_no_charts_of_residuals() -> None:
    text = text_of(records(shares=False))
    assert "Bytes of a step and worker" in text
    assert "Threshold" not in text


def test_an_empty_history_is_a_page() -> None:
    text = text_of([])
    assert "No epoch has ended yet" in text
    assert "Learning" not in text


def test_a_run_without_evaluations_is_a_page() -> None:
    content = page(records(evaluated=0))
    assert "train with --test" in content
    assert ">evaluation<" not in content


def test_one_epoch_is_a_page() -> None:
    text = text_of(records(epochs=1, restarted=None))
    assert "ended after 1 epoch " in text
    assert "Too early to say" in text


def test_a_checkpoint_says_how_far_it_is() -> None:
    history = records()[:-1]
    assert "checkpoint after epoch 12 of 12" in text_of(history, checkpoint=12)
    assert "State 12 epochs" in text_of(history)


def test_figures_that_were_lost_leave_no_trace_in_coordinates() -> None:
    history = [to_record(started()), *(to_record(epoch_ended(epoch=number)) for number in range(1, 6))]
    for record in history[1:]:
        record["loss"] = record["seconds"] = record["learning_rate"] = None
    content = page([*history, to_record(step_measured(wait_seconds=math.nan, threshold=math.nan))])
    assert not re.search(r"\bnan\b|\binf\b", content, re.IGNORECASE)
    assert "No: the loss is no longer a finite number" in content


WHOLE = st.integers(-(1 << 62), 1 << 62) | st.integers(0, 20)
ANYTHING = {int: WHOLE, float: st.floats(), str: st.text(max_size=20), float | None: st.none() | st.floats()}
EVENTS = st.one_of(
    *(
        st.builds(kind, **{name: ANYTHING[type_] for name, type_ in get_type_hints(kind).items() if type_ in ANYTHING})
        for kind in KINDS.values()
    )
)


@given(st.lists(EVENTS, max_size=12))
def test_whatever_the_figures_are_a_history_is_a_page(events: list[Event]) -> None:
    outline = Outline(page([to_record(event) for event in events]))
    places = " ".join(value or "" for name, value in outline.attributes if name in ("d", "x", "y", "cx", "cy", "width"))
    assert not re.search("nan|inf", places)


def test_strangers_text_is_text() -> None:
    history = [
        to_record(started(network=HOSTILE, strategy=HOSTILE, bad_entries=1, bad_reasons=(HOSTILE,))),
        to_record(Restarted(epoch=1, attempt=2, restarts_left=1, reason=HOSTILE)),
        *(to_record(step_measured(rank=rank, host=HOSTILE)) for rank in (0, 1)),
        to_record(epoch_ended(straggler=HOSTILE)),
        {"event": HOSTILE},
    ]
    content = render_page(
        Run(
            name=HOSTILE,
            history=history,
            options={HOSTILE: HOSTILE, "counts": {HOSTILE: 1}, "network": {"name": HOSTILE}},
            versions={HOSTILE: HOSTILE},
            evaluation={**classified(2), "labels": ["0", HOSTILE]},
            class_names={"0": HOSTILE, "1": 7},
        )
    )
    outline = Outline(content)
    assert not {"script", "img"} & set(outline.elements)
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert outline.text.count("<script>alert(1)</script>") >= 8
    assert not set("\x1b\u202e") & set(content), "nor does it steer a terminal or turn the writing round"


def test_nothing_is_asked_of_any_network() -> None:
    outline = Outline(page(records(), options=OPTIONS, evaluation=classified(2)))
    assert not {"script", "iframe", "object", "embed", "img"} & set(outline.elements)
    targets = [value for name, value in outline.attributes if name in ("href", "src", "xlink:href", "action")]
    assert targets == ["data:,"]
    assert "url(" not in page([])
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in outline.attributes


def test_every_picture_has_words() -> None:
    content = page(records(resharded=3), options=OPTIONS, evaluation=classified(2))
    for picture in re.findall(r"<svg[^>]*>", content):
        assert re.search(r'role="img" aria-label="[^"]{5,}"|aria-hidden="true"', picture), picture


def test_a_history_that_is_none_is_refused_with_the_runs_name() -> None:
    with pytest.raises(
        ArtifactError, match=r"digits\.zip: record 1 of the history is 7, not a mapping; use the version"
    ):
        page([7])  # type: ignore[list-item]


def test_the_same_run_gives_the_same_bytes() -> None:
    assert page(records(), options=OPTIONS) == page(records(), options=OPTIONS)


@pytest.mark.parametrize(
    "sizes", [{"workers": 100, "epochs": 30, "every": 20}, {"workers": 2, "epochs": 700, "every": 10}]
)
def test_a_long_history_is_a_page_that_opens(sizes: dict[str, int]) -> None:
    history = records(**sizes)
    assert len(history) > 10_000
    assert len(page(history, options=OPTIONS).encode()) < 2_000_000


def test_endless_options_are_cut() -> None:
    options = {
        "counts": {str(label): label for label in range(100_000)},
        **{f"option{n}": "x" * 9999 for n in range(999)},
    }
    assert len(page([], options=options)) < 200_000


def test_what_is_not_known_is_named() -> None:
    assert "does not know, and does not show: moved." in text_of([{"event": "moved"}])

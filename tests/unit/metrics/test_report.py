"""The printed report has Deeplearning4j's form."""

from __future__ import annotations

import json

import numpy as np

from sparkweave.metrics.evaluation import Evaluation


def evaluation_of(labels: list[str], confusion: list[list[int]]) -> Evaluation:
    evaluation = Evaluation(labels)
    for actual, row in enumerate(confusion):
        for predicted, count in enumerate(row):
            evaluation.update([actual] * count, np.repeat(np.eye(len(labels))[[predicted]], count, axis=0))
    return evaluation


def test_the_report_of_the_documentation_is_reproduced() -> None:
    assert evaluation_of(["0", "1", "2"], [[24, 0, 0], [0, 11, 1], [0, 0, 17]]).stats() == (
        "\n"
        "Examples labeled as 0 classified by model as 0: 24 times\n"
        "Examples labeled as 1 classified by model as 1: 11 times\n"
        "Examples labeled as 1 classified by model as 2: 1 times\n"
        "Examples labeled as 2 classified by model as 2: 17 times\n"
        "\n"
        "\n"
        "==========================Scores========================================\n"
        " # of classes:    3\n"
        " Accuracy:        0.9811\n"
        " Precision:       0.9815\n"
        " Recall:          0.9722\n"
        " F1 Score:        0.9760\n"
        "Precision, recall & F1: macro-averaged (equally weighted avg. of 3 classes)\n"
        "========================================================================"
    )


def test_classes_left_out_of_an_average_are_named() -> None:
    report = evaluation_of(["a", "b", "c", "d"], [[3, 0, 0, 0], [2, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]).stats()
    assert (
        "\nWarning: 2 classes were never predicted by the model and were excluded from average precision\n"
        "Classes excluded from average precision: [1, 3]\n"
        "Warning: 1 class was never seen in the data and was excluded from average recall\n"
        "Classes excluded from average recall: [3]\n"
    ) in report
    assert " Precision:       0.8000\t(2 classes excluded from average)\n" in report
    assert " Recall:          0.6667\t(1 class excluded from average)\n" in report
    assert " F1 Score:        0.8750\t(2 classes excluded from average)\n" in report


def test_top_k_has_a_line_where_it_says_something() -> None:
    six = [[1 if row == column else 0 for column in range(6)] for row in range(6)]
    assert "\n Accuracy:        1.0000\n Top 5 Accuracy:  1.0000\n" in evaluation_of(list("abcdef"), six).stats()
    assert "Top" not in evaluation_of(["a", "b"], [[1, 0], [0, 1]]).stats()


def test_with_two_classes_the_report_says_whose_f1_it_is() -> None:
    report = evaluation_of(["cat", "dog"], [[1, 0], [0, 1]]).stats()
    assert 'F1: reported for positive class (class 1 - "dog") only' in report
    assert "macro" not in report


def test_an_undefined_f1_is_printed_as_nan() -> None:
    assert (
        " F1 Score:        NaN\t(3 classes excluded"
        in evaluation_of(["a", "b", "c"], [[0, 1, 0], [0] * 3, [0] * 3]).stats()
    )


def test_control_characters_of_a_label_never_reach_the_terminal() -> None:
    evaluation = evaluation_of(["a\x1b[2J\n", "b", "c"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert "\x1b" not in evaluation.stats() + evaluation.class_table()
    assert "Examples labeled as a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER} classified" in evaluation.stats()


def test_the_class_table_lines_up_and_marks_what_is_undefined() -> None:
    assert evaluation_of(["t-shirt", "bag", "x"], [[3, 1, 0], [0, 4, 0], [0, 0, 0]]).class_table() == (
        "Class    Examples  Predicted  Precision  Recall  F1 Score\n"
        "t-shirt         4          3     1.0000  0.7500    0.8571\n"
        "bag             4          5     0.8000  1.0000    0.8889\n"
        "x               0          0          -       -         -"
    )


def test_the_summary_of_two_classes_has_a_table_of_thresholds() -> None:
    evaluation = Evaluation(["cat", "d\x1bog"])
    evaluation.update([0, 0, 1, 1], [[0.8, 0.2], [0.5, 0.5], [0.625, 0.375], [0.1, 0.9]])
    assert evaluation.summary() == (
        "Balanced accuracy:    0.7500\n"
        "Matthews correlation: 0.5774\n"
        "Cohen's kappa:        0.5000\n"
        "Calibration error:    0.3563\n"
        "ROC AUC:              0.7500\n"
        "Average precision:    0.8333\n"
        "\n"
        'Positive is "d\N{REPLACEMENT CHARACTER}og", from a probability of:\n'
        "Threshold  TP  FP  FN  TN  Precision  Recall  F1 Score\n"
        "  0.1       2   2   0   0     0.5000  1.0000    0.6667\n"
        "  0.25      2   1   0   1     0.6667  1.0000    0.8000\n"
        "* 0.375     2   1   0   1     0.6667  1.0000    0.8000\n"
        "  0.5       1   1   1   1     0.5000  0.5000    0.5000\n"
        "  0.75      1   0   1   2     1.0000  0.5000    0.6667\n"
        "  0.9       1   0   1   2     1.0000  0.5000    0.6667"
    )


def test_the_summary_of_more_classes_has_the_mean_area() -> None:
    summary = evaluation_of(["a", "b", "c"], [[2, 0, 0], [0, 1, 1], [0, 0, 2]]).summary()
    assert "ROC AUC, each class against the others: 0.8750" in summary
    assert "Threshold" not in summary


def test_names_of_classes_stand_in_place_of_their_labels() -> None:
    evaluation = Evaluation(["0", "1", "2"], class_names={"0": "Bag", "1": "Coat"})
    evaluation.update([0, 1, 2], np.eye(3)[[1, 1, 2]])
    assert "Examples labeled as Bag classified by model as Coat: 1 times\n" in evaluation.stats()
    assert [line.split()[0] for line in evaluation.class_table().splitlines()] == ["Class", "Bag", "Coat", "2"]
    assert [row["name"] for row in json.loads(evaluation.to_json())["classes"]] == ["Bag", "Coat", "2"]

"""Metrics are scikit-learn's, unknown classes count as wrong, and a baseline stands beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.evaluation import evaluate_classes, evaluate_values
from pipeline.evaluation.metrics import classification, confusion, regression

BINARY = np.asarray([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.3, 0.7]])
BINARY_LABELS = np.asarray([0, 0, 1, 1, 1])
MANY = np.asarray(
    [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2], [0.3, 0.4, 0.3]]
)
MANY_LABELS = np.asarray([0, 1, 2, 2, 0, 0])


def test_two_classes_have_the_metrics_of_scikit_learn() -> None:
    predicted = BINARY.argmax(axis=1)
    assert classification(BINARY, BINARY_LABELS) == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": reference.balanced_accuracy_score(BINARY_LABELS, predicted),
            "f1": reference.f1_score(BINARY_LABELS, predicted),
            "log_loss": reference.log_loss(BINARY_LABELS, BINARY),
            "auc": reference.roc_auc_score(BINARY_LABELS, BINARY[:, 1]),
        }
    )


def test_two_classes_have_the_metrics_that_a_person_computes() -> None:
    found = classification(BINARY, BINARY_LABELS)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["f1"] == pytest.approx(2 * (2 / 3) * (2 / 3) / (2 / 3 + 2 / 3))
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3, 0.7]).mean())
    assert found["auc"] == pytest.approx(5 / 6)


def test_many_classes_have_the_metrics_of_scikit_learn() -> None:
    predicted = MANY.argmax(axis=1)
    assert classification(MANY, MANY_LABELS) == pytest.approx(
        {
            "accuracy": 4 / 6,
            "balanced_accuracy": reference.balanced_accuracy_score(MANY_LABELS, predicted),
            "f1": reference.f1_score(MANY_LABELS, predicted, average="macro"),
            "log_loss": reference.log_loss(MANY_LABELS, MANY),
            "auc": reference.roc_auc_score(MANY_LABELS, MANY, multi_class="ovr"),
        }
    )


def test_a_class_that_train_never_showed_counts_as_wrong_and_only_for_accuracy() -> None:
    probabilities = np.concatenate([BINARY, [[0.99, 0.01]]])
    labels = np.concatenate([BINARY_LABELS, [-1]])
    known, found = classification(BINARY, BINARY_LABELS), classification(probabilities, labels)
    assert found.pop("accuracy") == pytest.approx(3 / 6)
    assert found == {key: value for key, value in known.items() if key != "accuracy"}
    assert confusion(probabilities, labels) == confusion(BINARY, BINARY_LABELS)


def test_rows_of_unknown_classes_alone_have_an_accuracy_of_zero_and_nothing_else() -> None:
    assert classification(BINARY, np.full(5, -1)) == {"accuracy": 0.0}


@pytest.mark.parametrize("label", [0, 1])
def test_test_rows_of_one_class_have_no_auc_and_no_warning(recwarn: pytest.WarningsRecorder, label: int) -> None:
    found = classification(BINARY, np.full(5, label))
    assert "auc" not in found
    assert found["accuracy"] == found["balanced_accuracy"] == pytest.approx([2 / 5, 3 / 5][label])
    assert all(np.isfinite(value) for value in found.values())
    assert not recwarn.list


def test_a_class_that_is_missing_among_many_leaves_out_the_auc_only(recwarn: pytest.WarningsRecorder) -> None:
    labels = np.where(MANY_LABELS == 2, 1, MANY_LABELS)
    found = classification(MANY, labels)
    assert set(found) == {"accuracy", "balanced_accuracy", "f1", "log_loss"}
    assert not recwarn.list


def test_one_row_has_metrics() -> None:
    assert classification(BINARY[:1], BINARY_LABELS[:1])["accuracy"] == 1.0
    assert set(regression(np.asarray([1.0]), np.asarray([3.0]))) == {"rmse", "mae"}


def test_float32_probabilities_that_do_not_quite_add_up_are_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    probabilities = np.full((3, 3), 1 / 3, np.float32) + np.float32(2e-7)
    assert classification(probabilities, np.asarray([0, 1, 2]))["log_loss"] == pytest.approx(np.log(3))
    assert not recwarn.list


def test_a_confident_mistake_has_a_finite_log_loss() -> None:
    assert np.isfinite(classification(np.asarray([[1.0, 0.0], [0.0, 1.0]]), np.asarray([1, 0]))["log_loss"])


def test_a_confusion_matrix_has_a_row_for_each_true_class_even_one_that_is_absent() -> None:
    assert confusion(BINARY, BINARY_LABELS) == [[1, 1], [1, 2]]
    assert confusion(MANY, MANY_LABELS) == [[2, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert confusion(MANY[:1], MANY_LABELS[:1]) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_quantities_have_the_metrics_of_scikit_learn() -> None:
    predicted, labels = np.asarray([1.0, 2.0, 4.0]), np.asarray([1.0, 3.0, 2.0])
    found = regression(predicted, labels)
    assert found == pytest.approx({"rmse": np.sqrt(5 / 3), "mae": 1.0, "r2": reference.r2_score(labels, predicted)})
    assert found["r2"] == pytest.approx(1 - 5 / 2)


def test_the_baseline_answers_the_majority_class_of_train() -> None:
    found = evaluate_classes(BINARY, BINARY_LABELS, np.asarray([0.25, 0.75]), ("no", "yes"))
    assert found.metrics == classification(BINARY, BINARY_LABELS)
    assert found.baseline["accuracy"] == pytest.approx(3 / 5)
    assert found.baseline["balanced_accuracy"] == found.baseline["auc"] == pytest.approx(0.5)
    assert found.baseline["log_loss"] == pytest.approx(-(2 * np.log(0.25) + 3 * np.log(0.75)) / 5)
    assert (found.num_rows, found.num_unknown, found.classes) == (5, 0, ("no", "yes"))
    assert found.confusion == [[1, 1], [1, 2]]


def test_the_baseline_is_learnt_from_train_and_not_from_test() -> None:
    found = evaluate_classes(BINARY, BINARY_LABELS, np.asarray([0.75, 0.25]), ("no", "yes"))
    assert found.baseline["accuracy"] == pytest.approx(2 / 5)


def test_the_baseline_answers_the_mean_of_train() -> None:
    labels = np.asarray([1.0, 3.0, 2.0])
    found = evaluate_values(np.asarray([1.0, 2.0, 4.0]), labels, 4.0)
    assert found.baseline == pytest.approx(regression(np.full(3, 4.0), labels))
    assert found.metrics["mae"] == pytest.approx(1.0)
    assert (found.num_rows, found.confusion) == (3, [])


def test_unknown_classes_are_counted() -> None:
    found = evaluate_classes(BINARY, np.asarray([0, -1, 1, -1, 1]), np.asarray([0.5, 0.5]), ("a", "b"))
    assert (found.num_rows, found.num_unknown) == (5, 2)
    assert sum(map(sum, found.confusion)) == 3


def test_an_evaluation_is_plain_json() -> None:
    for found in (
        evaluate_classes(MANY, MANY_LABELS, np.full(3, 1 / 3), ("a", "b", "c")),
        evaluate_values(np.asarray([1.0, 2.0]), np.asarray([1.0, 3.0]), 2.0),
    ):
        restored = json.loads(json.dumps(found.to_json()))
        assert restored["metrics"] == found.metrics
        assert restored["confusion"] == found.confusion


def repeated(weights: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    return [np.repeat(column, weights, axis=0) for column in columns]


@pytest.mark.parametrize(
    ("probabilities", "labels", "weights"),
    [
        (BINARY, BINARY_LABELS, [1, 2, 1, 3, 0]),
        (MANY, MANY_LABELS, [2, 1, 0, 3, 1, 1]),
        (BINARY, np.asarray([0, -1, 1, 1, 0]), [1, 3, 1, 2, 1]),
        (MANY, MANY_LABELS, [1, 0, 1, 1, 1, 1]),  # then the second class is not there
    ],
)
def test_a_row_of_weight_three_counts_as_the_row_three_times(
    probabilities: np.ndarray, labels: np.ndarray, weights: list[int]
) -> None:
    counts = np.asarray(weights)
    weighted = classification(probabilities, labels, counts.astype(np.float32))
    assert weighted == pytest.approx(classification(*repeated(counts, probabilities, labels)), rel=1e-6)
    assert weighted != pytest.approx(classification(probabilities, labels), rel=1e-6)


def test_weighted_quantities_are_those_of_repeated_ones() -> None:
    predicted, labels, counts = np.asarray([1.0, 2.0, 4.0]), np.asarray([1.0, 3.0, 2.0]), np.asarray([1, 0, 4])
    weighted = regression(predicted, labels, counts.astype(np.float32))
    assert weighted == pytest.approx(regression(*repeated(counts, predicted, labels)))


def test_the_table_has_a_line_for_each_metric_beside_the_baseline() -> None:
    found = evaluate_classes(BINARY, np.asarray([0, 0, -1, 1, 1]), np.asarray([0.25, 0.75]), ("no", "yes"))
    lines = str(found).splitlines()
    assert lines[0].split() == ["5", "rows", "model", "baseline"]
    assert lines[1].split() == ["accuracy", f"{found.metrics['accuracy']:.4f}", f"{found.baseline['accuracy']:.4f}"]
    assert [line.split()[0] for line in lines[1:-1]] == list(found.metrics)
    assert lines[-1] == "1 rows have a class that train never showed; they count as wrong"
    assert len({len(line) for line in lines[:-1]}) == 1

"""What the textbook says of regularizers holds on digits: each is trained with and without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.regularization import Table
from benchmarks.regularization_runs import NEAR, Problem, Trained, digits, train
from pipeline.training import SGD, Adam

SIZES: dict[str, Any] = {"width": 32}
# Not a falling rate for L1: its last steps would no longer bring to 0 what a batch moves away.
PLAIN = SGD(0.2, momentum=0.0, clip_norm=1.0)
MOMENTUM, ADAM = SGD(0.05, "cosine"), Adam(3e-3, "cosine")
L1 = 1e-3


@pytest.fixture(scope="module")
def problem() -> Problem:
    return digits(epochs=25)


@pytest.fixture(scope="module")
def unregularized(problem: Problem) -> Trained:
    return train(problem, ADAM, **SIZES)


def gap(trained: Trained) -> float:
    return trained.on("validation")["log_loss"] - trained.on("train")["log_loss"]


def test_proximal_l1_makes_exact_zeros_and_plain_l1_small_numbers(problem: Problem) -> None:
    none, plain = train(problem, PLAIN), train(problem, PLAIN, l1=L1)
    proximal = train(problem, PLAIN, l1=L1, proximal=True)
    assert none.zeros(NEAR) < 0.02
    assert plain.zeros() == 0
    assert plain.zeros(NEAR) > 0.3
    assert 0.15 < proximal.zeros() < proximal.zeros(NEAR)
    # Both go to the same place: what is exactly 0 here is nearly 0 there.
    assert proximal.zeros(NEAR) == pytest.approx(plain.zeros(NEAR), abs=0.1)
    # And what is nearly 0 does nothing: without it the answers are as good.
    small, all_ = plain.on("validation", NEAR)["log_loss"], plain.on("validation")["log_loss"]
    assert small == pytest.approx(all_, abs=0.02)
    assert plain.zeros() == 0  # looking at it has changed nothing


def test_a_larger_l2_makes_smaller_weights(problem: Problem) -> None:
    trained = [train(problem, MOMENTUM, l2=l2, **SIZES) for l2 in (1e-3, 5e-3, 2e-2)]
    for layer in trained[0].kernels():
        first, second, third = (one.norm(layer) for one in trained)
        assert first > 1.1 * second, layer
        assert second > 1.1 * third, layer


def test_dropout_narrows_the_gap_between_train_and_validation(problem: Problem, unregularized: Trained) -> None:
    dropped = train(problem, ADAM, dropout=0.3, **SIZES)
    assert gap(dropped) < 0.8 * gap(unregularized)
    assert dropped.on("train")["log_loss"] > unregularized.on("train")["log_loss"]


def test_early_stopping_ends_a_training_and_changes_nothing_before(problem: Problem) -> None:
    longer = replace(problem, epochs=40)
    whole, stopped = (train(longer, Adam(3e-3), patience=patience, **SIZES) for patience in (None, 3))
    losses, epochs = whole.history.val_loss, len(stopped.history.loss)
    assert len(losses) == 40
    assert epochs == stopped.history.best_epoch + 1 + 3 < 40
    assert stopped.history.val_loss == losses[:epochs]
    assert stopped.history.best_val_loss < losses[-1] + 0.02


def test_label_smoothing_makes_answers_less_sure(problem: Problem, unregularized: Trained) -> None:
    smoothed = [train(problem, ADAM, label_smoothing=one, **SIZES) for one in (0.1, 0.3)]
    first, second, third = (one.on("validation")["largest"] for one in (unregularized, *smoothed))
    assert first > second + 0.03 > third + 0.06
    # The loss is lowest where the largest of ten probabilities is 0.7 + 0.3 / 10.
    assert smoothed[1].on("train")["largest"] == pytest.approx(0.73, abs=0.08)


def test_a_table_of_the_benchmark_is_markdown_and_results() -> None:
    table = Table("L1", "digits", ("loss", "epochs"), {"none": (0.5, 30), "some": (0.25, 12)})
    assert table.markdown().splitlines()[1:3] == ["|---|---|---|", "| none | 0.500 | 30 |"]
    assert table.column("loss") == [0.5, 0.25]
    assert [result.name for result in table.results()][:1] == ["L1, digits: none: loss"]

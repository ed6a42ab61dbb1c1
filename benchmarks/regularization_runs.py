"""What the benchmark of the regularizers trains, and what it looks at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# A weight below this is nearly 0.
NEAR = 1e-3
_SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"width": 128, "depth": 2, "dropout": 0.0},
    "convnet": {"width": 16, "depth": 1, "dropout": 0.0},
}
_BINS = 10


@dataclass(frozen=True)
class Problem:
    """Prepared rows, and how long to train on them.

    Attributes:
      name: for people.
      splits: of `pipeline.data.prepare`; test stays shut.
      batch_size, epochs: of a training.
      seeds: trainings that a number is the mean of; the split is the same in all.
    """

    name: str
    splits: Any
    batch_size: int
    epochs: int
    seeds: int


@dataclass(frozen=True)
class Trained:
    """A model as it was after its last epoch: `fit` itself leaves that of the best one, which hides what went wrong."""

    problem: Problem
    model: Any
    history: Any

    def kernels(self) -> dict[str, np.ndarray]:
        """By layer, without those of embeddings and biases."""
        return {variable.path.split("/")[-2]: variable.numpy() for variable in self._kernels()}

    def sizes(self) -> np.ndarray:
        """The absolute values of all kernels' weights, float32 [weights]."""
        return np.abs(np.concatenate([kernel.ravel() for kernel in self.kernels().values()]))

    def zeros(self, below: float = 0.0) -> float:
        """The fraction of these that are 0, or below this."""
        return float(np.mean(self.sizes() < below if below else self.sizes() == 0))

    def norm(self, layer: str) -> float:
        """The Euclidean norm of a kernel."""
        return float(np.linalg.norm(self.kernels()[layer]))

    def on(self, side: str, below: float = 0.0) -> dict[str, float]:
        """Metrics on train or validation, in inference mode, as if weights nearer to 0 than `below` were 0.

        Beside the usual ones the mean `largest` probability and the expected calibration error (Naeini, Cooper and
        Hauskrecht, AAAI 2015; Guo et al., "On Calibration of Modern Neural Networks", ICML 2017): the distance of
        accuracy and largest probability, in bins of that probability.
        """
        from pipeline import data
        from pipeline.evaluation.metrics import classification
        from pipeline.models.outputs import predict

        splits, own = self.problem.splits, self.model.get_weights()
        for variable in self._kernels() if below else ():
            variable.assign(np.where(np.abs(variable.numpy()) < below, np.float32(0), variable.numpy()))
        scores, labels = predict(self.model, splits.spec, data.make_eval(getattr(splits, side)))
        self.model.set_weights(own)
        largest, right = scores.max(axis=1), scores.argmax(axis=1) == labels
        bins = np.minimum((largest * _BINS).astype(int), _BINS - 1)
        parts = [bins == place for place in range(_BINS)]
        error = sum(abs(right[part].mean() - largest[part].mean()) * part.mean() for part in parts if part.any())
        about = {"largest": float(largest.mean()), "calibration_error": float(error)}
        return classification(scores, labels) | about

    def _kernels(self) -> list[Any]:
        return [one for one in self.model.trainable_variables if one.path.endswith("/kernel")]


def digits(*, epochs: int = 30, seeds: int = 3) -> Problem:
    """Half of scikit-learn's digits to learn from, as images of 8x8 pixels: few enough to learn by heart."""
    from pipeline import data

    source = data.sources.ScikitLearn("digits", as_images=True)
    split = data.split.Stratified(train=0.5, validation=0.4, test=0.1, seed=0)
    return Problem("digits", data.prepare(source, split=split), 32, epochs, seeds)


def adult(path: Path, *, epochs: int = 25) -> Problem:
    """The census income table, with a column `split` or without."""
    from pipeline import data

    return Problem("adult", data.prepare(data.sources.Csv(str(path), label="income")), 256, epochs, 1)


def train(
    problem: Problem,
    optimizer: Any,
    *,
    model: str = "mlp",
    seed: int = 0,
    label_smoothing: float = 0.0,
    augment: Sequence[Any] = (),
    patience: int | None = None,
    **hyperparameters: Any,
) -> Trained:
    """Trains anew, by the package's own rooms."""
    import keras

    from pipeline import data, models, training

    splits, epochs = problem.splits, problem.epochs
    keras.utils.set_random_seed(seed)
    net = getattr(models, model)(splits.spec, **(_SIZES[model] | hyperparameters))
    batches = data.make_train(splits.train, batch_size=problem.batch_size, seed=seed, epochs=epochs, augment=augment)
    last: list[np.ndarray] = []

    def keep(_: Any) -> None:
        last[:] = net.get_weights()

    history = training.fit(
        net, batches, data.make_eval(splits.validation),
        optimizer=optimizer, epochs=epochs, label_smoothing=label_smoothing, patience=patience, on_epoch=keep,
    )  # fmt: skip
    net.set_weights(last)
    return Trained(problem, net, history)


def runs(problem: Problem, optimizer: Any, **more: Any) -> list[Trained]:
    """The same training with every seed."""
    return [train(problem, optimizer, seed=seed, **more) for seed in range(problem.seeds)]


def mean(trained: Sequence[Trained], measure: Callable[[Trained], float]) -> float:
    """Over the seeds."""
    return float(np.mean([measure(one) for one in trained]))

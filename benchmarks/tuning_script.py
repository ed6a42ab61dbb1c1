"""The other side of `benchmarks.tuning`: KerasTuner as its guide shows it, on arrays, in plain Keras."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import keras_tuner

from benchmarks.tuning_rows import Rows
from pipeline.spec import Spec

# With the arguments that ours have by default.
_OPTIMIZERS = {
    "SGD": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "Adam": lambda rate: keras.optimizers.Adam(rate),
    "AdamW": lambda rate: keras.optimizers.AdamW(rate, weight_decay=1e-2),
    "Adagrad": lambda rate: keras.optimizers.Adagrad(rate),
}
# By task: the loss, and the same once more as a metric, without the penalties that Keras adds to `val_loss`. A trial
# with a small l2 would win by that alone.
_LOSSES: dict[str, tuple[Any, Any]] = {
    "binary": (keras.losses.BinaryCrossentropy, keras.metrics.BinaryCrossentropy),
    "multiclass": (keras.losses.SparseCategoricalCrossentropy, keras.metrics.SparseCategoricalCrossentropy),
    "regression": (keras.losses.MeanSquaredError, keras.metrics.MeanSquaredError),
}
OBJECTIVE = "val_data_loss"


class Plain(keras_tuner.HyperModel):
    """A compiled model of a space that is given as our config has it."""

    def __init__(self, spec: Spec, model: dict[str, Any], space: dict[str, Any]) -> None:
        super().__init__()
        self.spec, self.model, self.space = spec, model, space

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Of the values that are tried."""
        chosen = {key.split(".")[1]: _ask(hp, key, values) for key, values in self.space.items()}
        rates = {name: chosen[name] for name in ("dropout", "l1", "l2")}
        built = network(self.spec, self.model, **rates)
        loss, metric = _LOSSES[self.spec.task]
        logits = {} if self.spec.task == "regression" else {"from_logits": True}
        optimizer = _OPTIMIZERS[chosen["optimizer"]](chosen["learning_rate"])
        built.compile(optimizer, loss=loss(**logits), metrics=[metric(name="data_loss", **logits)])
        return built


def tuner(plain: Plain, trials: int, seed: int, folder: str) -> keras_tuner.RandomSearch:
    """One execution of every trial. A failed one does not end the search, which after three it would."""
    return keras_tuner.RandomSearch(
        plain,
        objective=keras_tuner.Objective(OBJECTIVE, "min"),
        max_trials=trials,
        executions_per_trial=1,
        max_consecutive_failed_trials=trials + 1,
        seed=seed + 1,  # 0 is no seed
        overwrite=True,
        directory=folder,
    )


def search(tuner: keras_tuner.RandomSearch, rows: Rows, epochs: int, batch_size: int) -> None:
    """All trials. Labels are [rows, 1], as the logits of one unit are; else Keras refuses them or broadcasts them."""
    (x, y), (val_x, val_y) = rows.train, rows.validation
    given = {"epochs": epochs, "batch_size": batch_size, "verbose": 0}
    tuner.search(x, y[:, None], validation_data=(val_x, val_y[:, None]), **given)


def best(tuner: keras_tuner.RandomSearch) -> keras.Model:
    """With the weights of the best epoch of the best trial, which KerasTuner saved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the optimizer, which is not built
        return tuner.get_best_models()[0]


def network(spec: Spec, model: dict[str, Any], *, dropout: float, l1: float, l2: float) -> keras.Model:
    """The layers of ours, sizes and weights included, from features to logits."""
    penalty = keras.regularizers.L1L2(l1, l2)
    make = _convnet if model["name"] == "convnet" else _mlp
    inputs, x = make(spec, model["width"], dropout, penalty)
    output = keras.layers.Dense(spec.num_outputs, kernel_regularizer=penalty)(x)
    return keras.Model(inputs if len(inputs) > 1 else next(iter(inputs.values())), output)


def _mlp(spec: Spec, width: int, dropout: float, penalty: Any) -> tuple[dict[str, Any], Any]:
    """Two hidden layers, over numbers and the vectors of categories."""
    inputs = {"numeric": keras.Input((spec.num_numeric,), name="numeric")}
    parts = [inputs["numeric"]]
    if sizes := spec.vocabulary_sizes:
        codes = inputs["categorical"] = keras.Input((len(sizes),), dtype="int32", name="categorical")
        for column, size in enumerate(sizes):
            parts.append(keras.layers.Embedding(size, min(64, round(1.6 * size**0.56)))(codes[:, column]))
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for _ in range(2):
        x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal", kernel_regularizer=penalty)(x)
        x = keras.layers.Dropout(dropout)(x)
    return inputs, x


def _convnet(spec: Spec, width: int, dropout: float, penalty: Any) -> tuple[dict[str, Any], Any]:
    """A residual block in full size and one in half of it, of images of 8x8."""
    image = keras.Input(spec.image_shape, dtype="uint8", name="image")
    scale, offset = 1 / spec.image_scale[0], -spec.image_mean[0] / spec.image_scale[0]
    x = keras.layers.ReLU()(_convolution(keras.layers.Rescaling(scale, offset)(image), width, penalty))
    inside = keras.layers.ReLU()(_convolution(x, width, penalty))
    x = keras.layers.ReLU()(keras.layers.Add()([x, _convolution(inside, width, penalty)]))
    inside = keras.layers.ReLU()(_convolution(x, 2 * width, penalty, stride=2))
    inside = _convolution(keras.layers.SpatialDropout2D(dropout)(inside), 2 * width, penalty)
    short = _convolution(keras.layers.AveragePooling2D(2, padding="same")(x), 2 * width, penalty, side=1)
    x = keras.layers.ReLU()(keras.layers.Add()([short, inside]))
    return {"image": image}, keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))


def _convolution(x: Any, channels: int, penalty: Any, side: int = 3, stride: int = 1) -> Any:
    x = keras.layers.Conv2D(
        channels, side, strides=stride, padding="same", use_bias=False,
        kernel_initializer="he_normal", kernel_regularizer=penalty,
    )(x)  # fmt: skip
    return keras.layers.BatchNormalization(momentum=0.9)(x)


def _ask(hp: keras_tuner.HyperParameters, key: str, values: Any) -> Any:
    if isinstance(values, list):
        return hp.Choice(key, values)
    return hp.Float(key, values["min"], values["max"], sampling="log" if values.get("log") else "linear")

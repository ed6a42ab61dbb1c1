"""The other side of `benchmarks.end_to_end`: the script that a good Keras user writes today, in plain Keras.

    python -m benchmarks.end_to_end_script DATA OUTPUT --trials 10 --trial-epochs 8 --trial-patience 5 \
        --epochs 30 --patience 10 --seed 0

DATA holds train/, validation/ and test/, each with a folder of PNG files a class. OUTPUT gets the SavedModel.
The last line printed is a JSON object with the test accuracy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

SIZE = (8, 8)
OPTIMIZERS = {
    "Adam": lambda rate: keras.optimizers.Adam(rate),
    "SGD": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "Adagrad": lambda rate: keras.optimizers.Adagrad(rate),
}


class Digits(keras_tuner.HyperModel):
    """A small convnet, trained for a given number of epochs."""

    def __init__(self, train: tf.data.Dataset, epochs: int, seed: int) -> None:
        super().__init__()
        self.train, self.epochs, self.seed = train, epochs, seed
        self.augment = keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", seed=seed)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model, and with it the search space."""
        regularizer = keras.regularizers.L1L2(
            l1=hp.Float("l1", 1e-8, 1e-5, sampling="log"), l2=hp.Float("l2", 1e-7, 1e-4, sampling="log")
        )
        width, depth = hp.Choice("width", [16, 32]), hp.Choice("depth", [1, 2])
        dropout = hp.Float("dropout", 0.0, 0.3, step=0.1)
        inputs = keras.Input((*SIZE, 1))
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
        for block, channels in enumerate((width, 2 * width)):
            if block:
                x = keras.layers.MaxPooling2D()(x)
            for _ in range(depth):
                x = keras.layers.Conv2D(
                    channels, 3, padding="same", use_bias=False,
                    kernel_initializer="he_normal", kernel_regularizer=regularizer,
                )(x)  # fmt: skip
                x = keras.layers.BatchNormalization(momentum=0.9)(x)
                x = keras.layers.ReLU()(x)
                x = keras.layers.SpatialDropout2D(dropout)(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(dropout)(x)
        outputs = keras.layers.Dense(10, activation="softmax", kernel_regularizer=regularizer)(x)
        model = keras.Model(inputs, outputs)
        optimizer = OPTIMIZERS[hp.Choice("optimizer", list(OPTIMIZERS))]
        rate = hp.Float("learning_rate", 1e-3, 1e-2, sampling="log")
        model.compile(
            optimizer(self.schedule(rate, hp.Choice("batch_size", [32, 64, 128]))),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """One training; here, because the batch size is searched too."""
        return model.fit(self.batches(hp.get("batch_size")), *args, epochs=self.epochs, **kwargs)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Shuffled and augmented train batches of one epoch."""
        shuffled = self.train.shuffle(len(self.train), seed=self.seed).batch(batch_size)
        augmented = shuffled.map(lambda x, y: (self.augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
        return augmented.prefetch(tf.data.AUTOTUNE)

    def schedule(self, rate: float, batch_size: int) -> keras.optimizers.schedules.LearningRateSchedule:
        """Warm-up over 5 % of the steps, then down along half a cosine."""
        steps = self.epochs * -(-len(self.train) // batch_size)
        warmup = max(1, round(0.05 * steps))
        return keras.optimizers.schedules.CosineDecay(
            rate / warmup, max(steps - warmup, 1), warmup_target=rate, warmup_steps=warmup
        )


def images(folder: Path) -> tf.data.Dataset:
    found = keras.utils.image_dataset_from_directory(
        folder, image_size=SIZE, color_mode="grayscale", batch_size=None, shuffle=False, verbose=False
    )
    return found.cache()


def stopping(patience: int) -> list[keras.callbacks.Callback]:
    return [keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)]


def search(args: argparse.Namespace, train: tf.data.Dataset, validation: tf.data.Dataset) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            Digits(train, args.trial_epochs, args.seed),
            objective="val_loss",
            max_trials=args.trials,
            seed=args.seed + 1,
            directory=folder,
        )
        tuner.search(validation_data=validation, callbacks=stopping(args.trial_patience), verbose=0)
        return tuner.get_best_hyperparameters()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    for name in ("trials", "trial-epochs", "trial-patience", "epochs", "patience", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    train = images(args.data / "train")
    validation = images(args.data / "validation").batch(1024).prefetch(tf.data.AUTOTUNE)
    best = search(args, train, validation)
    final = Digits(train, args.epochs, args.seed)
    model = final.build(best)
    final.fit(best, model, validation_data=validation, callbacks=stopping(args.patience), verbose=0)
    _, accuracy = model.evaluate(images(args.data / "test").batch(1024), verbose=0)
    model.export(args.output, verbose=False)
    print(json.dumps({"accuracy": accuracy}))


if __name__ == "__main__":
    main()

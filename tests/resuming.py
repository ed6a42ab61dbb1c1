"""Small trainings that are interrupted, and a server that kills them: TensorFlow is imported once, they are forks.

`python -m tests.resuming FOLDER KILLS SEED` kills one so many times at random instants, lets it end, and prints JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.augment.examples import Examples
from pipeline.data.augment.keyed import fold
from pipeline.data.input_pipeline import make_eval, make_train
from pipeline.data.store import Store, StoreWriter
from pipeline.models import convnet, mlp
from pipeline.spec import Spec
from pipeline.training import Adam, Checkpoints, History, fit
from pipeline.training.schedules import Progress

ROWS = 70
TABLE = Spec("binary", 2, num_numeric=3, num_train=ROWS)
IMAGES = Spec("multiclass", 3, image_shape=(8, 8, 1), num_train=ROWS)


@dataclass(frozen=True)
class Noise:
    """A user's own augmentation: every value moves a little, by the key of its row."""

    part: ClassVar[str] = "any"
    mixes: ClassVar[bool] = False
    scale: float = 0.1

    def __call__(self, examples: Examples, keys: tf.Tensor) -> Examples:
        (name,) = examples.features
        values = examples.features[name]
        bits = tf.cast(tf.bitwise.right_shift(fold(keys, 1), tf.constant(40, tf.uint64)), tf.float32) / 2**24
        moved = tf.cast(values, tf.float32) + self.scale * tf.reshape(bits, [-1] + [1] * (values.shape.rank - 1))
        return examples.with_features(**{name: tf.cast(moved, values.dtype)})


@dataclass
class Kept:
    """An optimizer that remembers what it built, so that a test can look at its moments."""

    optimizer: Any
    built: list[keras.optimizers.Optimizer] = field(default_factory=list)

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.learning_rate)

    @property
    def schedule(self) -> Any:
        return self.optimizer.schedule

    def build(self, progress: Progress, ema: float | None = None) -> keras.optimizers.Optimizer:
        self.built.append(self.optimizer.build(progress, ema))
        return self.built[-1]

    def on_epoch(self, progress: Progress, val_losses: Sequence[float]) -> None:
        self.optimizer.on_epoch(progress, val_losses)


@dataclass(frozen=True)
class Job:
    """A training of a table, or of images; always the same one."""

    folder: Path
    images: bool = False
    optimizer: Any = field(default_factory=lambda: Adam(0.01, "cosine"))
    epochs: int = 6
    batch_size: int = 16
    patience: int | None = None
    seed: int = 5
    ema: float | None = None

    @property
    def num_steps(self) -> int:
        return self.epochs * -(-ROWS // self.batch_size)

    def store(self, *, contrary: bool = False) -> Store:
        """With `contrary`, every label is another one: what is learnt from train can only make it worse."""
        folder = self.folder / f"{'images' if self.images else 'table'}{'-contrary' * contrary}"
        if not (folder / "store.json").exists():
            write_store(folder, IMAGES if self.images else TABLE, contrary)
        return Store(folder)

    def run(
        self,
        checkpoint: Checkpoints | None = None,
        on_epoch: Callable[[History], None] | None = None,
        steps_per_call: int | None = None,
    ) -> str:
        """Trains, and gives a hash of all that came of it: history, weights, statistics, generators, moments."""
        keras.utils.set_random_seed(self.seed)
        if self.images:
            model = convnet(IMAGES, width=4, depth=1, dropout=0.3, l2=1e-4)
        else:
            model = mlp(TABLE, width=8, depth=2, dropout=0.3, l2=1e-4)
        train = make_train(
            self.store(),
            batch_size=self.batch_size,
            seed=self.seed,
            epochs=self.epochs,
            augment=[Noise(10.0 if self.images else 0.1)],
        )
        optimizer = Kept(self.optimizer)
        history = fit(
            model,
            train,
            make_eval(self.store(contrary=self.patience is not None)),
            optimizer=optimizer,
            epochs=self.epochs,
            patience=self.patience,
            ema=self.ema,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            steps_per_call=steps_per_call,
        )
        digest = hashlib.blake2b(repr(history).encode())
        for variable in [*model.variables, *optimizer.built[0].variables]:
            digest.update(variable.numpy().tobytes())
        return digest.hexdigest()


def write_store(folder: Path, spec: Spec, contrary: bool) -> None:
    random_ = np.random.default_rng(0)
    label = random_.integers(0, spec.num_classes, ROWS).astype(np.int32)
    if spec.image_shape:
        pixels = 60 * label[:, None, None, None] + random_.integers(0, 100, (ROWS, *spec.image_shape))
        columns = {"image": pixels.astype(np.uint8)}
    else:
        columns = {"numeric": (label[:, None] + random_.normal(size=(ROWS, spec.num_numeric))).astype(np.float32)}
    columns["label"] = (label + contrary) % spec.num_classes
    forms = {name: (str(column.dtype), column.shape[1:]) for name, column in columns.items()}
    writer = StoreWriter(folder, ROWS, forms, spec=spec)
    writer.append(columns)
    writer.close()


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without any. What begins with a dot is not written to its end."""
    whole = (path for path in folder.glob("*.checkpoint") if not path.name.startswith("."))
    return max((int(path.stem.rpartition("-")[2]) for path in whole), default=0)


def train_in_fork(job: Job, checkpoints: Path | None, result: Path) -> int:
    """Begins the training in a process of its own, and gives its id."""
    if child := os.fork():
        return child
    code = 1
    try:
        every_two = checkpoints and Checkpoints(checkpoints, every_seconds=None, every_steps=2)
        result.write_text(job.run(every_two))
        code = 0
    finally:
        os._exit(code)


def kill_some_time(child: int, checkpoints: Path, moments: random.Random) -> bool:
    """Kills at a random instant, mostly while steps are done and saved, sometimes before; whether it was running."""
    before, in_the_beginning, ended = newest_step(checkpoints), moments.random() < 0.2, 0
    if in_the_beginning:
        time.sleep(moments.uniform(0.0, 0.5))
    else:
        while newest_step(checkpoints) == before and not ended:
            time.sleep(0.002)
            ended = os.waitpid(child, os.WNOHANG)[0]
        time.sleep(0 if ended else moments.uniform(0.0, 0.3))
    if ended:
        return False
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def killed_and_resumed(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """A training that is never killed; then the same one, killed again and again."""
    job = Job(folder, epochs=300, optimizer=Adam(0.001, "cosine"))
    job.store()
    result, checkpoints, moments = folder / "result", folder / "checkpoints", random.Random(seed)
    os.waitpid(train_in_fork(job, None, result), 0)
    found: dict[str, Any] = {"expected": result.read_text(), "found": [], "steps": [], "num_steps": job.num_steps}
    while len(found["steps"]) < kills or not found["found"]:
        result.unlink(missing_ok=True)
        child = train_in_fork(job, checkpoints, result)
        if len(found["steps"]) < kills and kill_some_time(child, checkpoints, moments):
            found["steps"].append(newest_step(checkpoints))
            continue
        with contextlib.suppress(ChildProcessError):  # already waited for
            os.waitpid(child, 0)
        found["found"].append(result.read_text())  # it came to its end: begin anew, if more kills are to come
        Checkpoints(checkpoints).clear()
    return found


if __name__ == "__main__":
    print(json.dumps(killed_and_resumed(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

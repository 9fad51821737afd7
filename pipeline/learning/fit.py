"""One fit: the compiled model, its optimizer and schedule, and what is kept after every epoch."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_sample_weight

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Arrays
from pipeline.learning.batches import evaluation_batches, steps_per_epoch, training_batches
from pipeline.learning.checkpoint import State
from pipeline.learning.earlier import begin_with, softened_labels, softening
from pipeline.running.config import built
from pipeline.running.errors import UserError
from pipeline.running.ranges import range_of

VALID_BATCH = 256  # images per step on valid; changes nothing but speed


def build_optimizer(choice: Mapping[str, Any], steps: int, epochs: int) -> keras.optimizers.Optimizer:
    """A file of conf/optimizer/ as an optimizer; with a schedule, its rate warms up and then falls as a cosine to 0."""
    numbers = _floats(choice["build"])
    rate = numbers["learning_rate"]
    if choice["schedule"]:
        warmup = min(choice["schedule"]["warmup_epochs"], epochs - 1) * steps
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=epochs * steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    optimizer = built("optimizer", choice, **numbers | {"learning_rate": rate})
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _floats(build: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an optimizer whose range is of floats, as floats: Keras refuses 0 or 1 for some of them."""
    ranges = {key: range_of(f"optimizer.build.{key}") for key in build}
    return {
        key: float(value)
        for key, value in build.items()
        if ranges[key] and isinstance(ranges[key][0], float) and value is not None
    }


def compiled_model(values: Mapping[str, Any], arrays: Arrays) -> keras.Model:
    """The model with seeded or earlier weights, its optimizer and loss, ready to fit the arrays' training images."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(values["seed"])
    if values["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    model = models.build(values["model"], arrays.size, arrays.channels)
    if values["initial_weights"]:
        begin_with(model, values["initial_weights"], arrays.split("train"), values["seed"])
    softenings = []
    if values["teacher"] and values["teacher_augmented"]:
        softenings.append(softening(values["teacher"], values["teacher_share"], arrays, values["precision"]))
    if share := values["label_smoothing"]:
        softenings.append(lambda images, labels: (1 - share) * labels + share / len(LABELS))
    low = values["precision"] != "float32"
    if softenings or low:
        model = Trained(model, softenings, values["precision"])
    # On a CPU XLA has no kernels in bfloat16 and is slower with it than in float32; oneDNN, used without XLA, has them.
    plain = low and not tf.config.list_physical_devices("GPU")
    steps = steps_per_epoch(len(arrays.split("train").images), values["batch_size"])
    model.compile(
        build_optimizer(values["optimizer"], steps, values["epochs"]),
        keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=values["model"]["jit_compile"] and not plain,
    )
    model.optimizer.build(model.trainable_variables)  # in the first step it would make TensorFlow trace that twice
    return model


class Trained(keras.Model):
    """`model`, its layers and weights, trained in `precision` on labels that `softenings` make of images and labels.

    Valid is calculated in float32, as by all who use the model, and keeps its labels as they are: its figures are those
    of the model that is saved, and can be compared with those of other runs.
    """

    def __init__(
        self,
        model: keras.Model,
        softenings: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
        precision: str,
    ):
        super().__init__(model.input, model.output, name=model.name)
        self.softenings = softenings
        self.precision = precision

    def train_step(self, data):
        with models.calculating_in(self, self.precision):
            return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        for soften in self.softenings if training else ():
            y = soften(x, y)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def fit(
    model: keras.Model,
    arrays: Arrays,
    values: Mapping[str, Any],
    state: State,
    epoch_done: Callable[[State], None],
) -> None:
    """Train from `state` on, in place, to `values["epochs"]`; `epoch_done(state)` is called after each epoch.

    Raises UserError, naming the epoch, when the loss is not finite.
    """
    train, valid = arrays.split("train"), arrays.split("valid")
    softened = None
    if values["teacher"] and not values["teacher_augmented"]:
        softened = softened_labels(train, values["teacher"], values["teacher_share"], arrays)
    callbacks = [_Epochs(state, values["monitor"], epoch_done)]
    if model.optimizer.use_ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())
    model.fit(
        training_batches(
            train,
            values["batch_size"],
            values["augment"],
            values["balance"]["even_sampling"],
            values["seed"],
            state.epoch,
            values["epochs"],
            softened,
            class_weights(train.labels) if values["balance"]["class_weight"] else None,
        ),
        validation_data=evaluation_batches(valid, VALID_BATCH),
        steps_per_epoch=steps_per_epoch(len(train.images), values["batch_size"]),
        initial_epoch=state.epoch,
        epochs=values["epochs"],
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
    )


def best_epoch(history: Sequence[Mapping[str, float]], monitor: str) -> Mapping[str, float]:
    """The row of the epoch whose weights are kept: by its `val_accuracy` or its `val_loss`; the first of equal ones."""
    best = {"val_accuracy": max, "val_loss": min}[monitor]
    return best(history, key=lambda row: row[monitor])


def class_weights(labels: np.ndarray) -> np.ndarray:
    """The weight in the loss of each image, float32 [N]: 1 / the share of its label, scaled so that their mean is 1."""
    return compute_sample_weight("balanced", labels).astype(np.float32)


class _Epochs(keras.callbacks.Callback):
    """Keeps `state` true after every epoch: its history, and the weights of the epoch best on valid so far."""

    def __init__(self, state: State, monitor: str, epoch_done: Callable[[State], None]):
        super().__init__()
        self.state = state
        self.monitor = monitor
        self.epoch_done = epoch_done
        self.validated: list[np.ndarray] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.started_cpu = time.monotonic(), time.process_time()
        self.epoch, self.rate = epoch + 1, float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch, logs=None):
        self._refuse_not_finite("loss", logs["loss"])

    def on_test_end(self, logs=None):
        # Here the model holds what was validated: under weight averaging, not what training goes on with.
        self.validated = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": self.epoch, **{key: float(value) for key, value in logs.items()}}
        row["learning_rate"] = (self.rate + float(self.model.optimizer.learning_rate)) / 2  # of its first and next step
        row["epoch_seconds"] = time.monotonic() - self.started
        row["epoch_cpu_seconds"] = time.process_time() - self.started_cpu  # of all cores: says more on a shared machine
        self._refuse_not_finite("val_loss", row["val_loss"])
        state = self.state
        state.history.append(row)
        if best_epoch(state.history, self.monitor) is row:
            state.best = self.validated
        state.epoch = self.epoch
        self.epoch_done(state)

    def _refuse_not_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"{what} became {value} in epoch {self.epoch}; "
                "lower optimizer.build.learning_rate or choose another optimizer"
            )

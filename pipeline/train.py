"""Train one model on the resized images, choosing its weights by accuracy on valid; never reads test.

Resumes at the last whole epoch when it was cut off, and skips what has FINISHED already. Writes model.keras, history.csv,
config.yaml and run.json into the run's folder, and everything into MLflow.
"""

import fcntl
import logging
import math
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pipeline import cli, models, tracking
from pipeline.arrays import Arrays, Split, read_arrays
from pipeline.batches import evaluation_batches, steps_per_epoch, training_batches
from pipeline.checkpoint import Checkpoints, State
from pipeline.config import config_hash, flatten, identity, run_name
from pipeline.errors import UserError
from pipeline.files import whole_folder, write_json

log = logging.getLogger(__name__)

VALID_BATCH = 256  # images per step on valid; changes nothing but speed


def main(cfg: DictConfig) -> None:
    values = identity(cfg)
    _check(values)
    digest = config_hash(values)
    name = run_name(values)
    output = Path(cfg.output or f"{cfg.paths.multirun}/{name}-{digest[:8]}")
    arrays = read_arrays(Path(cfg.paths.resized) / values["channels"]["name"], values["data"]["name"])
    store = tracking.open_store(cfg.paths.tracking, values["data"]["name"])
    point = {"config_hash": digest, "train_digest": arrays.digest["train"], "valid_digest": arrays.digest["valid"]}
    checkpoints = Checkpoints(Path(cfg.paths.checkpoints) / f"{name}-{config_hash(point)[:16]}", digest)

    with _alone(checkpoints.folder), _stoppable():
        store.reap()
        if not cfg.rerun and (done := store.finished(point)):
            log.info("%s: finished already as MLflow run %s; rerun=true trains it again", name, done[0].info.run_id)
            return
        log.info("%s: config hash %s, seed %d, %s", name, digest[:16], values["seed"], _device())
        model, state, run_id = _prepare(values, arrays, checkpoints, store, name, point)
        with tracking.running(store, run_id):
            fit(model, arrays, values, state, lambda state, metrics: _epoch_done(
                state, metrics, values["epochs"], model, checkpoints, store, run_id
            ))
            about = summary(state, arrays) | point | {"run": name, "run_id": run_id, "command": command()}
            with whole_folder(output / "train") as folder:
                best = build_model(values, arrays)
                best.set_weights(state.best)
                models.save(best, folder / "model.keras")
                pd.DataFrame(state.history).to_csv(folder / "history.csv", index=False)
                OmegaConf.save(OmegaConf.create(values), folder / "config.yaml")
                write_json(folder / "run.json", about)
            store.log_metrics(run_id, {key: about[key] for key in ("best_val_accuracy", "best_epoch")})
            store.log_files(run_id, output / "train", "train")
        checkpoints.remove()
    log.info("%s: best val_accuracy %.4f in epoch %d; see %s", name, about["best_val_accuracy"], about["best_epoch"], output)


def build_model(values: Mapping[str, Any], arrays: Arrays) -> keras.Model:
    """The architecture that `values["model"]` describes, for images of the arrays' size and channels, untrained."""
    return instantiate(values["model"]["build"], size=arrays.size, channels=arrays.channels, _convert_="all")


def build_optimizer(choice: Mapping[str, Any], steps: int, epochs: int) -> keras.optimizers.Optimizer:
    """A file of conf/optimizer/ as an optimizer; with a schedule, its rate warms up and then falls as a cosine to 0."""
    rate = choice["build"]["learning_rate"]
    if choice["schedule"]:
        warmup = min(choice["schedule"]["warmup_epochs"], epochs - 1) * steps
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=epochs * steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    optimizer = instantiate(choice["build"], learning_rate=rate)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def compiled_model(values: Mapping[str, Any], arrays: Arrays, images: int) -> keras.Model:
    """The model with seeded weights, its optimizer and loss, ready to fit `images` training images."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(values["seed"])
    if values["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    model = build_model(values, arrays)
    model.compile(
        build_optimizer(values["optimizer"], steps_per_epoch(images, values["batch_size"]), values["epochs"]),
        keras.losses.CategoricalCrossentropy(label_smoothing=values["label_smoothing"]),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=values["model"]["jit_compile"],
    )
    return model


def fit(
    model: keras.Model,
    arrays: Arrays,
    values: Mapping[str, Any],
    state: State,
    epoch_done: Callable[[State, dict[str, float]], None],
) -> None:
    """Train from `state` on, in place, to `values["epochs"]`; `epoch_done(state, metrics)` is called after each epoch.

    Raises UserError, naming the epoch, when the loss is not finite.
    """
    train, valid = arrays.split("train"), arrays.split("valid")
    callbacks = [_Epochs(state, epoch_done)]
    if model.optimizer.use_ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())
    model.fit(
        training_batches(train, values["batch_size"], values["augment"], values["seed"], state.epoch, values["epochs"]),
        validation_data=evaluation_batches(valid, VALID_BATCH),
        steps_per_epoch=steps_per_epoch(len(train.images), values["batch_size"]),
        initial_epoch=state.epoch,
        epochs=values["epochs"],
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
        shuffle=False,
    )


class _Epochs(keras.callbacks.Callback):
    """Keeps `state` true after every epoch: its history, and the weights of the epoch best on valid so far."""

    def __init__(self, state: State, epoch_done: Callable[[State, dict[str, float]], None]):
        super().__init__()
        self.state = state
        self.epoch_done = epoch_done
        self.validated: list[np.ndarray] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        self._refuse_not_finite("loss", logs["loss"])

    def on_test_end(self, logs=None):
        # Here the model holds what was validated: under weight averaging, not what training goes on with.
        self.validated = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": self.epoch, **{key: float(value) for key, value in logs.items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        self._refuse_not_finite("val_loss", row["val_loss"])
        state = self.state
        if not state.best or row["val_accuracy"] > max(past["val_accuracy"] for past in state.history):
            state.best = self.validated
        state.history.append(row)
        state.epoch = self.epoch
        self.epoch_done(state, {**row, "epoch_seconds": time.monotonic() - self.started})

    def _refuse_not_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"{what} became {value} in epoch {self.epoch}; lower optimizer.build.learning_rate or choose another optimizer"
            )


def summary(state: State, arrays: Arrays) -> dict[str, Any]:
    """What the ranking needs of a finished training. `best_val_accuracy` is of `valid_images` images."""
    best = max(state.history, key=lambda row: row["val_accuracy"])
    return {
        "data": arrays.name,
        "epochs": len(state.history),
        "best_epoch": best["epoch"],
        "best_val_accuracy": best["val_accuracy"],
        "val_loss_at_best": best["val_loss"],
        "valid_images": len(arrays.split("valid").images),
    }


def command() -> str:
    """The command line that starts this same run by hand."""
    if not HydraConfig.initialized():
        return ""
    overrides = [o for o in HydraConfig.get().overrides.task if o.lstrip("+").split("=")[0] not in ("output", "rerun")]
    return shlex.join(["python", "-m", "pipeline.train", *overrides])


def _check(values: Mapping[str, Any]) -> None:
    for key in ("batch_size", "epochs"):
        if not isinstance(values[key], int) or values[key] < 1:
            raise UserError(f"{key}={values[key]}: expected a whole number of at least 1")
    if not isinstance(values["seed"], int) or not 0 <= values["seed"] < 2**31:
        raise UserError(f"seed={values['seed']}: expected a whole number from 0 to 2147483647")


def _prepare(values, arrays, checkpoints, store, name, point) -> tuple[keras.Model, State, str]:
    """The model to go on with: from the run's checkpoint when there is one, else new, under a new MLflow run."""
    train: Split = arrays.split("train")
    model = compiled_model(values, arrays, len(train.images))
    if restored := checkpoints.restore(model):
        state, run_id = restored
        if store.resume(run_id):
            log.info("%s: resumed after epoch %d of %d", name, state.epoch, values["epochs"])
            return model, state, run_id
        model = compiled_model(values, arrays, len(train.images))  # the store is another one: begin anew
    tags = point | {
        "command": command(),
        "git_commit": git_commit(),
        "parameters": model.count_params(),
        "train_images": len(train.images),
        "valid_images": len(arrays.split("valid").images),
    }
    return model, State(0, [], []), store.start(name, flatten(values), tags)


def _epoch_done(state, metrics, epochs, model, checkpoints, store, run_id) -> None:
    if state.epoch < epochs:  # after the last one the finished run itself is written
        checkpoints.save(model, state, run_id)
    # The checkpoint first: a row logged twice is the same row, a row never logged is lost.
    store.log_metrics(run_id, {key: value for key, value in metrics.items() if key != "epoch"}, metrics["epoch"])


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    return f"training on {len(gpus)} GPU" if gpus else "no GPU found: training on the CPU"


def git_commit() -> str:
    """The commit of the working tree, with `+changes` when it differs from it; "unknown" outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's lock: of two processes at the same point of a sweep, the second waits and then finds it finished."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another process trains the same run; waiting for it", folder.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that the run is marked KILLED; its checkpoint stays."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only a main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    cli.run("train")

"""Export one evaluated run for serving: a SavedModel for TensorFlow Serving, and LiteRT as float32, float16 and int8.

Writes export/ as a whole or not at all, and only when the formats say on test what the Keras model says (`parity`):
emotion/<version>/ (the SavedModel; the version is the time in seconds, since the highest is what TensorFlow Serving
serves), litert/<precision>.tflite, and manifest.json; `formats` leaves some out. Every format takes `image` uint8
[N, size, size, channels] and returns `probabilities` float32 [N, 7] in the order of the manifest's `labels`, as the
model's softmax gave them. The manifest's `temperature` T is for whoever serves to apply: p ** (1 / T), divided by their
sum. An answer whose highest probability is then not above `threshold` is "not sure"; `precision` is how often the
others were to be right when it was chosen on valid: an aim, not a measurement.
"""

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from pipeline.exporting import litert, manifest, names, parity, savedmodel
from pipeline.exporting.equalise import equalised
from pipeline.exporting.ranked import best_ranked
from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Split, read_arrays, require_same_held_out
from pipeline.running import cli, run_folder, tracking
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, whole_folder, write_json
from pipeline.running.run_folder import EvaluatedRun

log = logging.getLogger(__name__)

FORMATS = ("savedmodel", *litert.PRECISIONS)


def main(cfg: DictConfig) -> None:
    _without_gpu()
    check_place(cfg.paths.export, names.MANIFEST)
    if cfg.run:
        run = run_folder.evaluated(Path(cfg.run))
    else:
        store = tracking.open_store(cfg.paths.tracking, cfg.study, create=False)
        run = best_ranked(Path(cfg.paths.reports), cfg.study, store)
    log.info("%s: exporting MLflow run %s", run.about["run"], run.about["run_id"])
    chosen(cfg.formats)
    arrays = read_arrays(Path(cfg.paths.resized) / run.config.channels.name, run.about["data"], run.about["run"])
    require_same_held_out(arrays, run.about, run.about["run"])
    model = models.load(run.model)
    test = arrays.split("test")
    expected = keras_says(model, test, run, cfg)
    with whole_folder(cfg.paths.export, names.MANIFEST) as folder:
        version = int(time.time())
        images = some_images(arrays.split("train"), cfg.calibration.images, cfg.calibration.seed)
        formats = write_formats(model, folder, version, cfg.formats, images, cfg.warm_up)
        figures = compare(formats, test, expected, cfg)
        about = manifest.about(run, arrays, version) | {"formats": figures, "files": manifest.checksums(folder)}
        write_json(folder / names.MANIFEST, about)
    log.info("%s: see %s", run.about["run"], Path(cfg.paths.export) / names.MANIFEST)


def chosen(formats: Sequence[str]) -> None:
    """UserError unless `formats` are some of those there are."""
    if not formats or not set(formats) <= set(FORMATS):
        raise UserError(f"formats={list(formats)}: expected at least one of {', '.join(FORMATS)}")


def _without_gpu() -> None:
    # A GPU's sums differ from those of LiteRT, on the processor, by more than formats that are equal may.
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:  # this process has used it already
        tf.config.experimental.enable_tensor_float_32_execution(False)


def keras_says(model: keras.Model, split: Split, run: EvaluatedRun, cfg: DictConfig) -> np.ndarray:
    """The Keras model's probabilities float32 [N, 7]; UserError when they are not those that `run` was evaluated by."""
    found = parity.probabilities({"keras": model.predict_on_batch}, split, cfg.batch_size, "test, Keras")["keras"]
    before = run.predictions().query("split == 'test'")
    if before["id"].tolist() != split.index["id"].tolist():
        raise UserError(f"{run.model}: was evaluated on other images of test than there are now; evaluate it again")
    parity.require_evaluated(split, found, before[list(LABELS)].to_numpy(), cfg.parity.evaluated)
    return found


def some_images(split: Split, count: int, seed: int) -> np.ndarray:
    """At most `count` images of the split, uint8 [n, size, size, channels], chosen at random from all of it."""
    chosen = np.random.default_rng(seed).permutation(len(split.images))[:count]
    return split.images[np.sort(chosen)]


def write_formats(
    model: keras.Model,
    folder: Path,
    version: int,
    chosen: Sequence[str],
    calibration: np.ndarray,
    warm_up: Sequence[int],
) -> dict[str, Path]:
    """Write the model into `folder` in every chosen format; a format's name with its folder or file."""
    formats = {}
    with tempfile.TemporaryDirectory() as temporary:
        even = Path(temporary, "even")
        saved = (folder if "savedmodel" in chosen else Path(temporary)) / names.MODEL / str(version)
        log.info("savedmodel: writing")
        savedmodel.save(model, saved)
        if "savedmodel" in chosen:
            savedmodel.save_warm_up(saved, model.input_shape[1:], warm_up)
            formats["savedmodel"] = saved
        if "int8" in chosen:
            savedmodel.save(equalised(model), even)
        for precision in (each for each in litert.PRECISIONS if each in chosen):
            log.info("%s: converting", precision)
            formats[precision] = folder / names.litert(precision)
            formats[precision].parent.mkdir(exist_ok=True)
            source = even if precision == "int8" else saved
            formats[precision].write_bytes(litert.convert(source, precision, calibration))
    return formats


def compare(formats: Mapping[str, Path], split: Split, expected: np.ndarray, cfg: DictConfig) -> dict[str, dict]:
    """How each format agrees with what Keras says of the split, `expected`; UserError when one does not."""
    predictors = {name: (savedmodel if path.is_dir() else litert).predictor(path) for name, path in formats.items()}
    figures: dict[str, dict[str, Any]] = {"keras": {"accuracy": float((expected.argmax(1) == split.labels).mean())}}
    log.info("keras: accuracy %.4f on test", figures["keras"]["accuracy"])
    for name, says in parity.probabilities(predictors, split, cfg.batch_size, "test, exported").items():
        if name in ("savedmodel", "float32"):
            found = parity.require_equal(name, split, expected, says, cfg.parity.equal)
        else:
            found = parity.require_as_good(name, split, expected, says, cfg.parity)
        figures[name] = asdict(found)
        about = "%s: accuracy %.4f on test, the same emotion on %.2f %%, a probability differs by up to %.2g"
        log.info(about, name, found.accuracy, 100 * found.same_emotion, found.max_difference)
        if found.loss > cfg.parity.loss:
            points = 100 * found.loss
            log.warning(
                "%s: loses %.2f points, which chance explains on so few images (p = %.2g)", name, points, found.p_value
            )
    return figures


if __name__ == "__main__":
    cli.run("export")

"""Going on from an earlier model: its weights to begin with, or its predictions mixed into the labels.

`initial_weights` is for fine-tuning and for training on after a finished run; `teacher` is distillation: from one model
of the same kind it softens labels that people disagree about (Furlanello et al. 2018, "Born-Again Neural Networks"),
from several it makes one model of what they know together (Hinton et al. 2015, "Distilling the Knowledge").
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Arrays, Split
from pipeline.running.errors import UserError
from pipeline.running.files import exists, sha256
from pipeline.running.outputs import read_json
from pipeline.running.run_folder import ABOUT, MODEL, TRAIN

log = logging.getLogger(__name__)

BATCH = 256  # images per step of a teacher; changes nothing but speed
MEASURED = 2048  # images that batch normalisations are measured on


def digest(choice: str, paths: str | Sequence[str]) -> str:
    """SHA-256 in hex of each model that `choice`=`paths` names, with a comma between; UserError where none is.

    A path is a run's folder or a `.keras` file.
    """
    return ",".join(sha256(_file(choice, path)) for path in _each(paths))


def run_id(path: str) -> str:
    """The MLflow run whose folder or model `path` is; empty when it is none, such as a `.keras` file alone."""
    return _about(path).get("run_id", "")


def caution(paths: str | Sequence[str], arrays: Arrays) -> str:
    """Why figures on valid and test of `arrays` may flatter what goes on from the models at `paths`; "" if they don't.

    Cleaning keeps what a model is trained on apart from the valid and test of then; others may hold images of it. Of a
    `.keras` file alone it can't be told, and that is said, but for one that pipeline.restore has made.
    """
    held_out = {f"{name}_digest": arrays.digest[name] for name in ("valid", "test")}
    for path in _each(paths):
        about = _about(path) or models.trained_on(_file("initial_weights or teacher", path))
        if not about:
            return (
                f"{path} is of no run here, and what it was trained on may be in valid or test: figures of what goes "
                "on or learns from it may flatter"
            )
        if earlier := about.get("caution"):
            return earlier
        same = arrays.made_from == about.get("made_from") or arrays.digest["train"] == about.get("train_digest")
        if not same and not held_out.items() <= about.items():
            return (
                f"{path} was trained beside other images of valid and test, and may have seen those of now: "
                "figures of what goes on or learns from it may flatter"
            )
    return ""


def _about(path: str) -> dict[str, Any]:
    """run.json of the run whose folder or model `path` is; empty when it is of none."""
    model = Path(str(path))
    file = model.with_name(Path(ABOUT).name) if model.name == Path(MODEL).name else model / ABOUT
    return read_json(file, TRAIN) if exists(file) else {}


def run_ids(paths: str | Sequence[str]) -> str:
    """The MLflow runs whose folders or models `paths` are, with a space between; empty when one of them is none."""
    ids = [run_id(path) for path in _each(paths)]
    return " ".join(ids) if all(ids) else ""


def begin_with(model: keras.Model, paths: str | Sequence[str], split: Split, seed: int) -> None:
    """Give `model` the weights of the earlier one at `paths`, or the mean of those of several.

    The mean is better than each where one went on from another, or all from one: they lie in one valley (Wortsman et
    al. 2022, "Model soups"). UserError when the layers of one are not of the same shapes; those without weights may
    differ: a model may be trained first on smaller crops, say. Batch normalisations are measured anew, on images of
    `split` drawn by `seed`.
    """
    several = [_fitting(model, path) for path in _each(paths)]
    model.set_weights([_mean(each) for each in zip(*several, strict=True)])
    rows = np.random.default_rng(seed).permutation(len(split.images))[:MEASURED]
    measure_norms(model, np.asarray(split.images[np.sort(rows)]))


def _fitting(model: keras.Model, path: str) -> list[np.ndarray]:
    """The weights of the earlier model at `path`; UserError when they are not of the shapes of those of `model`."""
    weights = models.load(_file("initial_weights", path)).get_weights()
    shapes, expected = [array.shape for array in weights], [array.shape for array in model.get_weights()]
    if shapes != expected:
        differ = [(a, b) for a, b in zip(shapes, expected, strict=False) if a != b]
        why = f"one of shape {differ[0][0]} where {differ[0][1]} is expected" if differ else f"{len(shapes)} arrays"
        raise UserError(
            f"initial_weights={path}: its weights do not fit model={model.name} ({why}); "
            "expected a model of the same architecture and channels"
        )
    return weights


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays of floats, and the first of others, such as the state of a dropout's generator."""
    first = arrays[0]
    return np.mean(arrays, axis=0, dtype=np.float64).astype(first.dtype) if first.dtype.kind == "f" else first


def measure_norms(model: keras.Model, images: np.ndarray) -> None:
    """Give each batch normalisation the mean and variance of what reaches it of `images`, [N, size, size, channels].

    What the model says stays as it was, and a training step, which normalises by its own batch, begins with nearly the
    same values. Without it a model of `pipeline.restore`, whose normalisations are folded into the kernels beside them,
    or one of another data set is worse after its first steps than the model it began with. One without scale or centre
    stays as it was, which is logged.
    """
    every = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    # The others have nothing that could make up for another mean and variance.
    norms = [_Measured(layer) for layer in every if layer.scale and layer.center and not layer.renorm]
    for start in range(0, len(images) if norms else 0, BATCH):
        model(images[start : start + BATCH], training=False)
    for norm in norms:
        norm.end()
    if left := [layer.name for layer in every if layer not in {norm.layer for norm in norms if norm.count}]:
        log.warning("initial_weights: not measured on the new images: %s", ", ".join(left))


class _Measured:
    """A batch normalisation that sums up what reaches it, wherever it is in a model, until `end` makes use of that."""

    def __init__(self, layer: keras.layers.BatchNormalization):
        self.layer, self.call, layer.call = layer, layer.call, self
        self.sums, self.count = np.zeros((2, layer.moving_mean.shape[0])), 0

    def __call__(self, inputs, *args, **options):
        reached = np.moveaxis(np.asarray(inputs), self.layer.axis, -1)
        reached = reached.reshape(-1, reached.shape[-1]).astype(np.float64)
        self.sums += reached.sum(0), (reached**2).sum(0)
        self.count += len(reached)
        return self.call(inputs, *args, **options)

    def end(self) -> None:
        del self.layer.call  # of this object; the class has its own
        if not self.count:
            return
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in self.layer.get_weights())
        slope = gamma / np.sqrt(variance + self.layer.epsilon)
        measured, squares = self.sums / self.count
        spread = np.maximum(squares - measured**2, 0)
        beta += slope * (measured - mean)
        self.layer.set_weights([slope * np.sqrt(spread + self.layer.epsilon), beta, measured, spread])


def softened_labels(split: Split, paths: str | Sequence[str], share: float, arrays: Arrays) -> np.ndarray:
    """Labels float32 [N, 7]: `share` of what the teachers at `paths` say, the rest the label itself.

    Each sees every image as it is and mirrored, and the mean of all counts. UserError when one takes other images.
    """
    teachers = _teachers(paths, arrays)
    labels = (1 - share) * np.eye(len(LABELS), dtype=np.float32)[split.labels]
    for start in range(0, len(labels), BATCH):
        images = np.asarray(split.images[start : start + BATCH])
        for teacher in teachers:
            said = teacher.predict_on_batch(images) + teacher.predict_on_batch(images[:, :, ::-1])
            labels[start : start + BATCH] += share / 2 / len(teachers) * said
    return labels


def softening(
    paths: str | Sequence[str], share: float, arrays: Arrays, precision: str
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """As `softened_labels`, of batches as they are trained on: from images and labels, float32 [B, 7], the softened.

    Each sees the images as they were augmented and mixed for the pupil: of an image as it is a teacher may have learnt
    the label by heart, of an augmented one it has not (Beyer et al. 2022, "Knowledge distillation: A good teacher is
    patient and consistent"). They calculate in `precision`. UserError when one takes other images.
    """
    teachers = _teachers(paths, arrays)

    def asked(teacher: keras.Model, images: tf.Tensor) -> tf.Tensor:
        with models.calculating_in(teacher, precision):
            return teacher(images, training=False)

    def softened(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        said = tf.add_n([asked(teacher, images) for teacher in teachers])
        return (1 - share) * labels + share / len(teachers) * said

    return softened


def _teachers(paths: str | Sequence[str], arrays: Arrays) -> list[keras.Model]:
    expected, teachers = (arrays.size, arrays.size, arrays.channels), []
    for path in _each(paths):
        teacher = models.load(_file("teacher", path))
        if teacher.input_shape[1:] != expected:
            raise UserError(f"teacher={path}: takes images of shape {teacher.input_shape[1:]}, expected {expected}")
        teachers.append(teacher)
    return teachers


def _each(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths


def _file(choice: str, path: str) -> Path:
    for file in (Path(str(path)), Path(str(path)) / MODEL):
        if exists(file) and file.is_file():
            return file
    raise UserError(
        f"{choice}={path}: no model there; expected the folder of a finished run or a .keras file, which "
        "pipeline.restore makes of an exported model"
    )

"""Going on from an earlier model: its weights to begin with, or its predictions mixed into the labels.

`initial_weights` is for fine-tuning and for training on after a finished run; `teacher` is distillation: from one model
of the same kind it softens labels that people disagree about (Furlanello et al. 2018, "Born-Again Neural Networks"),
from several it makes one model of what they know together (Hinton et al. 2015, "Distilling the Knowledge").
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Arrays, Split
from pipeline.running.errors import UserError
from pipeline.running.files import sha256
from pipeline.running.outputs import read_json

BATCH = 256  # images per step of a teacher; changes nothing but speed
MEASURED = 2048  # images that batch normalisations are measured on


def digest(choice: str, paths: str | Sequence[str]) -> str:
    """SHA-256 in hex of each model that `choice`=`paths` names, with a comma between; UserError where none is.

    A path is a run's folder or a `.keras` file.
    """
    return ",".join(sha256(_file(choice, path)) for path in _each(paths))


def run_id(path: str) -> str:
    """The MLflow run whose folder or model `path` is; empty when it is none, such as a `.keras` file alone."""
    model = Path(str(path))
    file = (model.parent if model.name == "model.keras" else model / "train") / "run.json"
    return read_json(file, "train that run again")["run_id"] if file.is_file() else ""


def begin_with(model: keras.Model, path: str, split: Split, seed: int) -> None:
    """Give `model` the weights of the earlier one at `path`; UserError when its layers are not of the same shapes.

    Layers without weights may differ: a model may be trained first on smaller crops, say. Its batch normalisations are
    measured anew, on images of `split` drawn by `seed`.
    """
    file = _file("initial_weights", path)
    weights = models.load(file).get_weights()
    shapes, expected = [array.shape for array in weights], [array.shape for array in model.get_weights()]
    if shapes != expected:
        differ = [(a, b) for a, b in zip(shapes, expected, strict=False) if a != b]
        why = f"one of shape {differ[0][0]} where {differ[0][1]} is expected" if differ else f"{len(shapes)} arrays"
        raise UserError(
            f"initial_weights={path}: its weights do not fit model={model.name} ({why}); "
            "expected a model of the same architecture and channels"
        )
    model.set_weights(weights)
    rows = np.random.default_rng(seed).permutation(len(split.images))[:MEASURED]
    measure_norms(model, np.asarray(split.images[np.sort(rows)]))


def measure_norms(model: keras.Model, images: np.ndarray) -> None:
    """Give each batch normalisation the mean and variance of what reaches it of `images`, [N, size, size, channels].

    What the model says stays as it was, and a training step, which normalises by its own batch, now begins with nearly
    the same. Without it a model of `pipeline.restore`, whose normalisations are folded into the kernels beside them, or
    one of another data set is worse after its first steps than the model it began with.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    inputs = keras.Model(model.inputs, [layer.input for layer in norms])
    sums = [np.zeros((2, layer.gamma.shape[0])) for layer in norms]
    values = np.zeros(len(norms))
    for start in range(0, len(images), BATCH):
        said = inputs.predict_on_batch(images[start : start + BATCH])
        for place, reached in enumerate(said if len(norms) > 1 else [said]):  # Keras unpacks a single output
            reached = reached.reshape(-1, reached.shape[-1]).astype(np.float64)
            sums[place] += reached.sum(0), (reached**2).sum(0)
            values[place] += len(reached)
    for layer, (total, squares), count in zip(norms, sums, values, strict=True):
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in layer.get_weights())
        slope = gamma / np.sqrt(variance + layer.epsilon)
        measured = total / count
        spread = np.maximum(squares / count - measured**2, 0)
        beta += slope * (measured - mean)
        layer.set_weights([slope * np.sqrt(spread + layer.epsilon), beta, measured, spread])


def softened_labels(split: Split, paths: str | Sequence[str], share: float, arrays: Arrays) -> np.ndarray:
    """Labels float32 [N, 7]: `share` of what the teachers at `paths` say, the rest the label itself.

    Each sees every image as it is and mirrored, and the mean of all counts. UserError when one takes other images.
    """
    paths, expected = _each(paths), (arrays.size, arrays.size, arrays.channels)
    labels = (1 - share) * np.eye(len(LABELS), dtype=np.float32)[split.labels]
    for path in paths:
        teacher = models.load(_file("teacher", path))
        if teacher.input_shape[1:] != expected:
            raise UserError(f"teacher={path}: takes images of shape {teacher.input_shape[1:]}, expected {expected}")
        for start in range(0, len(labels), BATCH):
            images = np.asarray(split.images[start : start + BATCH])
            said = teacher.predict_on_batch(images) + teacher.predict_on_batch(images[:, :, ::-1])
            labels[start : start + BATCH] += share / 2 / len(paths) * said
    return labels


def _each(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths


def _file(choice: str, path: str) -> Path:
    for file in (Path(str(path)), Path(str(path)) / "train" / "model.keras"):
        if file.is_file():
            return file
    raise UserError(f"{choice}={path}: no model there; expected the folder of a finished run or a .keras file")

"""Do the exported formats say what the Keras model says? Compared image by image; the export fails when they do not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.labels import LABELS
from pipeline.learning.arrays import Split
from pipeline.reporting.compare import mcnemar
from pipeline.running.errors import UserError
from pipeline.running.progress import progress


@dataclass(frozen=True)
class Agreement:
    """A format beside Keras on the same images.

    Its `accuracy` 0..1, how many images it `lost` (only Keras was right) and `won` (only it was), what share of all it
    so lost (`loss`, below 0 for a gain), the `p_value` of McNemar's test that this is chance, the share of images with
    the `same_emotion`, and the greatest difference of a probability.
    """

    accuracy: float
    lost: int
    won: int
    loss: float
    p_value: float
    same_emotion: float
    max_difference: float


def probabilities(
    predictors: Mapping[str, Callable[[np.ndarray], np.ndarray]], split: Split, batch_size: int, what: str
) -> dict[str, np.ndarray]:
    """What each of the predictors says of every image of the split, in its order: float32 [N, 7]."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    starts = range(0, len(split.images), batch_size)
    for start in progress(starts, len(split.images), what, step=batch_size):
        images = np.array(split.images[start : start + batch_size])
        for name, predict in predictors.items():
            found[name].append(predict(images))
    return {name: np.concatenate(batches) for name, batches in found.items()}


def agreement(labels: np.ndarray, keras: np.ndarray, other: np.ndarray) -> Agreement:
    """Of probabilities [N, 7] of the same images, labels int [N]."""
    right, other_right = keras.argmax(1) == labels, other.argmax(1) == labels
    lost, won = int((right & ~other_right).sum()), int((~right & other_right).sum())
    return Agreement(
        accuracy=float(other_right.mean()),
        lost=lost,
        won=won,
        loss=(lost - won) / len(labels),
        p_value=mcnemar(right, other_right),
        same_emotion=float((keras.argmax(1) == other.argmax(1)).mean()),
        max_difference=float(_differences(keras, other).max()),
    )


def require_equal(name: str, split: Split, keras: np.ndarray, other: np.ndarray, tolerance: float) -> Agreement:
    """The agreement of a format that computes as Keras does; UserError with the worst image unless it is the same.

    The same: no image gets another emotion, and no probability differs by more than `tolerance`.
    """
    found = agreement(split.labels, keras, other)
    if found.same_emotion < 1 or not found.max_difference <= tolerance:
        raise UserError(
            f"{name} does not say what Keras says: {1 - found.same_emotion:.2%} of {len(keras):,} images of test get "
            f"another emotion (none may), a probability differs by up to {found.max_difference:.2g} (at "
            f"most {tolerance:.2g} may); {worst(split, keras, other, f'Keras {{}}, {name} {{}}')}; nothing was exported"
        )
    return found


def require_as_good(name: str, split: Split, keras: np.ndarray, other: np.ndarray, allowed: Mapping) -> Agreement:
    """The agreement of a format of lower precision; UserError with the worst image when it is right less often.

    Less often: its accuracy is lower by more than `allowed.loss`, and by more than chance explains, since of 200 images
    a single one is half a point. Chance is McNemar's test at `allowed.significance`.
    """
    found = agreement(split.labels, keras, other)
    worse = found.loss > allowed["loss"] and found.p_value < allowed["significance"]
    if worse or not np.isfinite(found.max_difference):
        raise UserError(
            f"{name} is right on {found.accuracy:.2%} of {len(keras):,} images of test, {100 * found.loss:.2f} points "
            f"less than Keras (at most {100 * allowed['loss']:.2f} may be lost); "
            f"{worst(split, keras, other, f'Keras {{}}, {name} {{}}')}; nothing was exported"
        )
    return found


def require_evaluated(split: Split, keras: np.ndarray, evaluated: np.ndarray, tolerance: float) -> None:
    """UserError with the worst image when the model's probabilities are not those that evaluation wrote down."""
    difference = _differences(keras, evaluated).max()
    if not difference <= tolerance:
        raise UserError(
            f"model.keras is not the model that was evaluated: a probability differs by up to {difference:.2g} (at "
            f"most {tolerance:.2g} may); {worst(split, evaluated, keras, 'evaluated {}, now {}')}; "
            "put its own model back, or evaluate the run again"
        )


def worst(split: Split, first: np.ndarray, second: np.ndarray, template: str) -> str:
    """The image on which the two differ most, in words; one that gets another emotion comes before all others."""
    row = int((_differences(first, second) + (first.argmax(1) != second.argmax(1))).argmax())
    said = [f"{LABELS[each[row].argmax()]} {each[row].max():.3f}" for each in (first, second)]
    return f"worst image {split.index['id'].iloc[row]}: {template.format(*said)}"


def _differences(keras: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each image the greatest difference of a probability [N]; infinite where one is not a number."""
    return np.nan_to_num(np.abs(keras - other).max(1), nan=np.inf)

"""What counts as saying the same, and which image is the worst."""

import numpy as np
import pandas as pd
import pytest

from pipeline.exporting import parity
from pipeline.learning.arrays import Split
from pipeline.running.errors import UserError

ALLOWED = {"loss": 0.005, "significance": 0.05}


def split(images: int) -> Split:
    labels = np.arange(images) % 7
    index = pd.DataFrame({"id": [f"test/x/{row}.jpg" for row in range(images)], "label": labels})
    return Split(np.zeros((images, 2, 2, 1), np.uint8), labels, index)


def said(labels: np.ndarray) -> np.ndarray:
    """Probabilities that give each image its label."""
    return (np.eye(7)[labels] * 0.3 + 0.1).astype(np.float32)


def test_a_difference_within_the_tolerance_is_equal():
    images = split(70)
    keras = said(images.labels)
    found = parity.require_equal("float32", images, keras, keras + 5e-6, 1e-5)
    assert (found.same_emotion, found.lost, found.won, found.p_value) == (1, 0, 0, 1)
    with pytest.raises(UserError, match=r"float32 does not say what Keras says.*by up to 2e-05.*nothing was exported"):
        parity.require_equal("float32", images, keras, keras + 2e-5, 1e-5)


def test_another_emotion_is_never_equal_and_is_worse_than_any_difference():
    images = split(70)
    keras = said(images.labels)
    keras[20] = [0.2, 0.2, 0.2, 0.2, 0.2 - 1e-7, 0, 0]
    other = keras.copy()
    other[20, 4] += 3e-7
    other[30, 0] += 8e-6
    with pytest.raises(UserError, match=r"1\.43% of 70.*worst image test/x/20\.jpg: Keras anger 0\.200, x sadness"):
        parity.require_equal("x", images, keras, other, 1e-5)


@pytest.mark.parametrize(
    "check", [lambda *a: parity.require_equal(*a, 1e-5), lambda *a: parity.require_as_good(*a, ALLOWED)]
)
def test_what_is_not_a_number_agrees_with_nothing(check):
    images = split(70)
    keras = said(images.labels)
    other = keras.copy()
    other[40, 5] = np.nan
    with pytest.raises(UserError, match=r"worst image test/x/40\.jpg"):
        check("x", images, keras, other)


@pytest.mark.parametrize(
    ("images", "lost", "won", "passes"),
    [
        (200, 2, 0, True),  # a whole point, which is two images: chance
        (200, 8, 0, False),
        (20_000, 90, 0, True),  # 0.45 points, surely lost and allowed
        (20_000, 150, 40, False),  # 0.55
        (20_000, 40, 150, True),
    ],
)
def test_a_lower_precision_may_lose_half_a_point_or_what_chance_explains(images, lost, won, passes):
    data = split(images)
    keras, other = data.labels.copy(), data.labels.copy()
    other[:lost] = (other[:lost] + 1) % 7
    keras[lost : lost + won] = (keras[lost : lost + won] + 1) % 7
    arguments = "int8", data, said(keras), said(other), ALLOWED
    if passes:
        found = parity.require_as_good(*arguments)
        assert (found.lost, found.won) == (lost, won)
        assert found.loss == pytest.approx((lost - won) / images)
    else:
        with pytest.raises(
            UserError, match=r"int8 is right on .* points less than Keras .*worst image test/x/\d+\.jpg"
        ):
            parity.require_as_good(*arguments)


def test_probabilities_are_of_every_image_in_order():
    images = split(10)
    images.images[:, 0, 0, 0] = np.arange(10)
    found = parity.probabilities(
        {"a": lambda batch: batch[:, 0, 0], "b": lambda batch: batch[:, 0, 0] * 2}, images, 4, "x"
    )
    assert found["a"].ravel().tolist() == list(range(10))
    assert found["b"].ravel().tolist() == [2 * row for row in range(10)]

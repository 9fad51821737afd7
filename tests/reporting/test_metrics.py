"""Figures against scikit-learn, intervals against resampled images and the binomial."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from pipeline.labels import LABELS
from pipeline.reporting.metrics import CLASSES, evaluate_split, intervals, scores

MACRO = {"labels": CLASSES, "average": "macro", "zero_division": 0}


def predictions(count, seed=0, absent=()):
    """Labels (no image of the classes `absent`) and probabilities that are right for about 6 of 10."""
    generator = np.random.default_rng(seed)
    shares = np.array([0.0 if index in absent else weight for index, weight in enumerate((1, 1, 1, 5, 2, 1, 5))])
    labels = generator.choice(7, count, p=shares / shares.sum())
    logits = generator.normal(0, 1, (count, 7)) + 2.2 * np.eye(7)[labels]
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(1, keepdims=True)


def confusion_of(labels, predicted):
    matrix = np.zeros((7, 7), int)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def report(labels, probabilities, gray, resamples=500):
    slices = {"gray": gray, "colour": ~gray}
    return evaluate_split(labels, probabilities, slices, resamples, 0.95, np.random.default_rng(0))


def test_scores_are_those_of_scikit_learn():
    labels, probabilities = predictions(800)
    predicted = probabilities.argmax(1)
    one_hot = np.eye(7)[labels]
    assert scores(labels, probabilities) == pytest.approx(
        {
            "accuracy": accuracy_score(labels, predicted),
            "precision_macro": precision_score(labels, predicted, **MACRO),
            "recall_macro": recall_score(labels, predicted, **MACRO),
            "f1_macro": f1_score(labels, predicted, **MACRO),
            "auc_micro": roc_auc_score(one_hot.ravel(), probabilities.ravel()),
            "auc_macro": roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        }
    )


def test_a_perfect_and_a_constant_classifier():
    labels = np.arange(70) % 7
    assert set(scores(labels, np.eye(7)[labels]).values()) == {1.0}
    constant = scores(labels, np.tile(np.eye(7)[3], (70, 1)))
    assert constant["accuracy"] == pytest.approx(1 / 7)
    assert constant["precision_macro"] == pytest.approx(1 / 49)
    assert constant["auc_macro"] == pytest.approx(0.5)


def test_a_class_without_an_image_leaves_out_auc_and_macro_averages():
    labels, probabilities = predictions(300, absent=(1,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = report(labels, probabilities, np.ones(300, bool))
    assert set(found["scores"]) == {"accuracy"}
    assert found["per_class"]["disgust"]["recall"] == 0
    assert found["per_class"]["disgust"]["support"] == 0
    assert set(found["intervals"]) == {"accuracy"}


@pytest.mark.parametrize("seed", range(5))
def test_one_resample_has_the_figures_that_scikit_learn_gives_its_images(seed):
    labels, probabilities = predictions(60, seed)  # so few that a class is at times without an image
    confusion = confusion_of(labels, probabilities.argmax(1))
    found = intervals(confusion, 1, 0.95, np.random.default_rng(seed))
    cells = np.random.default_rng(seed).multinomial(60, confusion.ravel() / 60)
    drawn, predicted = np.divmod(np.repeat(np.arange(49), cells), 7)
    assert found["f1_macro"] == pytest.approx((f1_score(drawn, predicted, **MACRO),) * 2)


def test_intervals_are_those_of_resampling_the_images_themselves():
    labels, probabilities = predictions(400)
    predicted = probabilities.argmax(1)
    generator = np.random.default_rng(5)
    drawn = [generator.integers(0, 400, 400) for _ in range(600)]
    found = intervals(confusion_of(labels, predicted), 10_000, 0.95, np.random.default_rng(0))
    f1 = [f1_score(labels[rows], predicted[rows], **MACRO) for rows in drawn]
    assert found["f1_macro"] == pytest.approx(np.quantile(f1, [0.025, 0.975]), abs=0.012)


@pytest.mark.parametrize(("hits", "count"), [(600, 1000), (10_240, 17_356), (0, 5), (5, 5)])
def test_the_interval_of_accuracy_is_wilsons_as_in_the_ranking(hits, count):
    confusion = np.zeros((7, 7), int)
    confusion[3, 3], confusion[3, 6] = hits, count - hits
    expected = stats.binomtest(hits, count).proportion_ci(0.9, method="wilson")
    found = intervals(confusion, 100, 0.9, np.random.default_rng(0))["accuracy"]
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found[1] - found[0] > 0.01


def test_macro_f1_has_an_interval_only_where_each_emotion_has_images_enough():
    labels = np.repeat(np.arange(7), 20)
    probabilities = np.eye(7)[np.where(np.arange(140) % 3, labels, 6)]
    enough = np.arange(140) % 2 == 0  # 10 of each
    found = report(labels, probabilities, enough)
    for part in (found, *found["slices"].values()):
        low, high = part["intervals"]["f1_macro"]
        assert low < part["scores"]["f1_macro"] < high
    found = report(labels, probabilities, enough & (np.arange(140) != 22))["slices"]  # and 9 of disgust
    assert set(found["gray"]["intervals"]) == {"accuracy"} and "f1_macro" in found["gray"]["scores"]
    assert set(found["colour"]["intervals"]) == {"accuracy", "f1_macro"}
    whole = report(labels[::20], np.eye(7)[[0, 1, 2, 3, 4, 5, 5]], np.ones(7, bool))
    assert set(whole["intervals"]) == {"accuracy"}  # a bootstrap says 0.29 to 0.71, of a macro F1 of 0.81


def test_an_interval_of_macro_f1_without_width_is_not_told():
    labels = np.repeat(np.arange(7), 20)
    found = report(labels, np.eye(7)[labels], labels < 7)["intervals"]
    assert "f1_macro" not in found and found["accuracy"][0] < 1


def test_a_slice_that_lacks_an_emotion_has_no_macro_averages():
    labels, probabilities = predictions(300)
    found = report(labels, probabilities, labels > 1)
    assert set(found["slices"]["gray"]["scores"]) == {"accuracy"}
    assert {"f1_macro", "recall_macro", "precision_macro"} < set(found["scores"])


def test_intervals_cover_their_figures_and_narrow_with_more_images():
    widths = []
    for count in (400, 6400):
        labels, probabilities = predictions(count)
        found = report(labels, probabilities, np.ones(count, bool))
        for name in ("accuracy", "f1_macro"):
            low, high = found["intervals"][name]
            assert 0 <= low < found["scores"][name] < high <= 1
        low, high = found["intervals"]["accuracy"]
        widths.append(high - low)
    assert 3 < widths[0] / widths[1] < 5.3


def test_less_confidence_is_a_narrower_interval_and_the_same_seed_the_same():
    confusion = confusion_of(*[part if part.ndim == 1 else part.argmax(1) for part in predictions(300)])
    wide, narrow, again = (
        intervals(confusion, 2000, confidence, np.random.default_rng(1))["accuracy"] for confidence in (0.99, 0.5, 0.99)
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert wide == again


def test_slices_have_the_figures_of_their_images():
    labels, probabilities = predictions(300)
    gray = np.arange(300) % 3 == 0
    found = report(labels, probabilities, gray)
    assert {name: part["images"] for name, part in found["slices"].items()} == {"gray": 100, "colour": 200}
    for name, rows in (("gray", gray), ("colour", ~gray)):
        assert found["slices"][name]["scores"] == scores(labels[rows], probabilities[rows])
    both = np.array(found["slices"]["gray"]["confusion"]) + np.array(found["slices"]["colour"]["confusion"])
    assert both.tolist() == found["confusion"]


def test_a_slice_without_an_image_is_left_out():
    labels, probabilities = predictions(50)
    assert set(report(labels, probabilities, np.ones(50, bool))["slices"]) == {"gray"}
    assert set(report(labels, probabilities, np.zeros(50, bool))["slices"]) == {"colour"}


def test_rows_of_the_confusion_matrix_are_true_emotions():
    labels, predicted = np.array([0, 0, 0, 4]), np.array([0, 6, 6, 5])
    found = report(labels, np.eye(7)[predicted], np.ones(4, bool))
    assert np.array(found["confusion"])[0].tolist() == [1, 0, 0, 0, 0, 0, 2]
    assert np.array(found["confusion"])[4].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert list(found["per_class"]) == list(LABELS)
    assert found["per_class"]["anger"]["recall"] == pytest.approx(1 / 3)

"""Pictures are written, can be opened, and tell their lines apart."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline.labels import LABELS
from pipeline.reporting import calibration, run_plots
from pipeline.reporting.metrics import evaluate_split
from pipeline.reporting.temperature import calibrated


def predictions(absent=None):
    generator = np.random.default_rng(0)
    labels = np.arange(140) % 7
    labels = labels[labels != absent]
    probabilities = generator.dirichlet(np.ones(7), len(labels)) + 0.3 * np.eye(7)[labels]
    return labels, probabilities / probabilities.sum(1, keepdims=True)


def drawn(figure: Figure) -> Figure:
    """The figure, which can be saved as a picture of a size to be read that is not empty."""
    png = io.BytesIO()
    figure.savefig(png, dpi=run_plots.DPI)
    with Image.open(png) as image:
        assert 400 <= min(image.size) <= max(image.size) <= 1400
        assert np.asarray(image.convert("L")).std() > 5
    return figure


def test_learning_curves_mark_the_best_epoch():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "accuracy": [0.3, 0.5, 0.7],
            "val_accuracy": [0.3, 0.5, 0.4],
            "loss": [2, 1.5, 1],
            "val_loss": [2, 1.6, 1.9],
        }
    )
    figure = drawn(run_plots.learning_curves(history, 3, "a run"))
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["best epoch (3)"].get_xdata()[0] == 3
        assert {"train", "valid"} < set(lines)


def test_one_epoch_can_be_drawn():
    row = {"epoch": [1], "accuracy": [0.3], "val_accuracy": [0.3], "loss": [2.0], "val_loss": [2.0]}
    drawn(run_plots.learning_curves(pd.DataFrame(row), 1, "a run"))


def test_confusion_shows_shares_of_each_true_emotion():
    matrix = np.diag([10, 20, 30, 40, 50, 60, 0])
    matrix[0, 6] = 30
    figure = drawn(run_plots.confusion(matrix, "a run"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts[:7]] == ["0.25", "0.00", "0.00", "0.00", "0.00", "0.00", "0.75"]
    assert [text.get_text() for text in axes.texts[-7:]] == ["–"] * 7  # no image of the class
    assert [label.get_text() for label in axes.get_yticklabels()] == list(LABELS)
    assert "240 images" in axes.get_title()


@pytest.mark.parametrize("absent", [None, 1])
def test_classification_shows_each_emotion_with_its_images(absent):
    labels, probabilities = predictions(absent)
    report = evaluate_split(labels, probabilities, {}, 10, 0.95, np.random.default_rng(0))
    figure = drawn(run_plots.classification(report["per_class"], "a run"))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"{label} ({0 if index == absent else 20})" for index, label in enumerate(LABELS)]
    said = np.array([text.get_text() for text in figure.axes[0].texts]).reshape(7, 3)
    assert ((said == "–").all(1) == (np.arange(7) == absent)).all()
    assert said[0, 1] == f"{report['per_class'][LABELS[0]]['recall']:.2f}"


@pytest.mark.parametrize("absent", [None, 1])
def test_roc_draws_the_emotions_that_have_images_and_the_micro_average(absent):
    figure = drawn(run_plots.roc(*predictions(absent), "a run"))
    lines = {line.get_label().split(" (")[0]: line for line in figure.axes[0].lines}
    expected = {label for index, label in enumerate(LABELS) if index != absent}
    assert set(lines) == expected | {"micro-average", "Chance level"}
    styles = {(line.get_color(), line.get_linestyle()) for line in lines.values()}
    assert len(styles) == len(lines)
    assert (lines["Chance level"].get_color(), lines["Chance level"].get_linestyle()) == ("gray", ":")


@pytest.mark.parametrize("threshold", [0.25, 1.0])
def test_calibration_is_drawn_with_its_errors_and_the_threshold(threshold):
    labels, probabilities = predictions()
    learned = calibration.Calibration(2.0, threshold)
    found = calibration.figures(labels, probabilities, learned, 15, 100, 0.95, np.random.default_rng(0))
    curve = calibration.risk_coverage(labels, calibrated(probabilities, 2.0))
    figures = [
        drawn(run_plots.reliability(found, 2.0, "a run")),
        drawn(run_plots.risk_coverage(curve, threshold, "a run")),
    ]
    legends = [[text.get_text() for text in figure.axes[0].get_legend().get_texts()] for figure in figures]
    assert f"at temperature 2.00: calibration error {found['ece']['after']:.3f}" in legends[0]
    assert f"as the model says: calibration error {found['ece']['before']:.3f}" in legends[0]
    answers = found["answers"]
    if threshold < 1:
        wrong = 1 - answers["precision"]
        assert f"above 0.250: {answers['coverage']:.0%} answered, {wrong:.0%} of them wrong" in legends[1]
        (mark,) = (line for line in figures[1].axes[0].lines if line.get_marker() == "o")
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((answers["coverage"], wrong))
    else:
        assert "no image is sure enough for an answer" in legends[1]
    below = figures[0].axes[1]
    assert sum(bar.get_height() for bar in below.patches) == 2 * len(labels)  # before and after

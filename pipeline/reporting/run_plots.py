"""Plots of one run: learning curves, confusion matrix, classification, ROC, calibration. Each returns a Figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import RocCurveDisplay

from pipeline.labels import LABELS
from pipeline.reporting.calibration import area

DPI = 110  # of every plot that is saved
NONE = "–"  # in place of a figure that is not defined


def learning_curves(history: pd.DataFrame, best: int, title: str) -> Figure:
    """Accuracy and loss by epoch on train and valid, epoch `best` marked; `history` is a run's history.csv."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(history["epoch"], history[measure], marker=".", label="train")
        axes.plot(history["epoch"], history[f"val_{measure}"], marker=".", label="valid")
        axes.axvline(best, color="gray", linestyle=":", label=f"best epoch ({best})")
        axes.set(xlabel="epoch", ylabel=measure, title=f"{title}: {measure}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    return figure


def confusion(matrix: np.ndarray, title: str) -> Figure:
    """Confusion matrix [7, 7] (rows: true) as shares of each true class, the number of images in the title.

    An emotion without images has no shares, which are not 0.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    images = matrix.sum(1)
    shares = pd.DataFrame(matrix / np.maximum(images[:, None], 1), LABELS, LABELS)
    _heatmap(axes, shares, pd.Series(images > 0, LABELS))
    axes.tick_params("x", rotation=40)
    axes.tick_params("y", rotation=0)
    axes.set(aspect="equal", xlabel="predicted", ylabel="true")
    axes.set(title=f"{title}: share of each true emotion, {int(images.sum()):,} images")
    return figure


def classification(per_class: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Precision, recall and F1 of each emotion as a heatmap; the emotion's number of images beside its name.

    An emotion without images has none of them.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    table = pd.DataFrame(per_class).T[["precision", "recall", "f1-score", "support"]].astype(float)
    there = table.pop("support") > 0
    table.index = there.index = [f"{label} ({per_class[label]['support']:.0f})" for label in table.index]
    _heatmap(axes, table, there)
    axes.set(title=f"{title}: by emotion (images)")
    return figure


def _heatmap(axes: Axes, shares: pd.DataFrame, there: pd.Series) -> None:
    """Shares 0..1 as colours and figures; NONE in the rows that are not `there`."""
    said = shares.map("{:.2f}".format).where(there, NONE, axis=0)
    # seaborn chooses the ink by the colour below it, scikit-learn by the largest share there is
    seaborn.heatmap(shares, annot=said, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, ax=axes)


def roc(labels: np.ndarray, probabilities: np.ndarray, title: str) -> Figure:
    """One-vs-rest ROC of each emotion and their micro-average; an emotion without an image is left out."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    one_hot = np.eye(len(LABELS))[labels]
    for index, label in enumerate(LABELS):
        if 0 < one_hot[:, index].sum() < len(labels):
            RocCurveDisplay.from_predictions(one_hot[:, index], probabilities[:, index], name=label, ax=axes)
    RocCurveDisplay.from_predictions(
        one_hot.ravel(),
        probabilities.ravel(),
        name="micro-average",
        ax=axes,
        plot_chance_level=True,
        chance_level_kw={"color": "gray", "linestyle": ":"},
        curve_kwargs={"color": "black", "linestyle": "--"},
    )
    axes.set(title=f"{title}: ROC, one emotion against the rest")
    return figure


def reliability(found: Mapping[str, Any], temperature: float, title: str) -> Figure:
    """Accuracy against confidence before and after calibration, with intervals, over how many images are how sure.

    `found` is what `calibration.figures` gave. DeGroot & Fienberg 1983, The Statistician 32, drew the first.
    """
    figure = Figure(figsize=(7, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color="gray", linestyle=":", label="confidence that can be believed")
    looks = {"before": {"color": "tab:orange", "marker": "s", "markersize": 9, "fillstyle": "none"}}
    looks["after"] = {"color": "tab:blue", "marker": "o"}
    names = {"before": "as the model says", "after": f"at temperature {temperature:.2f}"}
    for when, look in looks.items():
        table = pd.DataFrame(found["reliability"][when])
        ends = np.abs(table[["low", "high"]].to_numpy().T - table["accuracy"].to_numpy())
        label = f"{names[when]}: calibration error {found['ece'][when]:.3f}"
        above.errorbar(table["confidence"], table["accuracy"], ends, capsize=2, linewidth=1.2, label=label, **look)
        width = table["to"] - table["from"]
        below.bar(table["from"], table["images"], width, align="edge", fill=False, edgecolor=look["color"])
    above.set(ylabel="share of right answers", ylim=(0, 1.02), title=f"{title}: can its confidence be believed?")
    above.legend(loc="lower right")
    below.set(xlabel="confidence (highest of the seven probabilities)", ylabel="images", xlim=(0, 1))
    return figure


def risk_coverage(curve: pd.DataFrame, threshold: float, title: str) -> Figure:
    """How many of the answers are wrong when only the surest images get one; the chosen threshold is marked.

    `curve` is from `calibration.risk_coverage`.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    every = curve["risk"].iloc[-1]
    axes.plot(curve["coverage"], curve["risk"], label=f"the surest first: area {area(curve):.3f}")
    axes.axhline(every, color="gray", linestyle=":", label=f"in any order: {every:.3f}")
    given = curve[curve["confidence"] > threshold]
    if len(given):
        at = given.iloc[-1]
        label = f"above {threshold:.3f}: {at['coverage']:.0%} answered, {at['risk']:.0%} of them wrong"
        axes.plot(at["coverage"], at["risk"], "o", color="black", label=label)
    else:
        axes.plot([], [], " ", label="no image is sure enough for an answer")
    axes.set(xlabel="share of images that get an answer", ylabel="share of the answers that is wrong")
    axes.set(xlim=(0, 1), ylim=(0, 1), title=f"{title}: what it costs to answer more")
    axes.legend(loc="upper left")
    return figure

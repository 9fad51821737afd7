"""What a model's predictions on a split come to: its figures by slice, what to log of them, plots and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.labels import LABELS
from pipeline.reporting import calibration, metrics, run_plots
from pipeline.reporting.calibration import Calibration
from pipeline.reporting.temperature import calibrated

PLOTS = ("confusion", "classification", "roc", "reliability", "risk_coverage")


def figures(
    index: pd.DataFrame,
    probabilities: np.ndarray,
    learned: Calibration,
    settings: Mapping[str, Any],
    generator: np.random.Generator,
) -> dict[str, Any]:
    """All figures of a split: those of `metrics.evaluate_split`, and as `calibration` those of `calibration.figures`.

    index: label, gray and mean luminance of each image. probabilities: float [N, 7], as the model gave them. settings:
    conf/figures.yaml, with confidence.
    """
    labels, parts = index["label"].to_numpy(), slices(index, **settings["brightness"])
    resamples, confidence = settings["resamples"], settings["confidence"]
    found = metrics.evaluate_split(labels, probabilities, parts, resamples, confidence, generator)
    again = np.random.default_rng(settings["seed"])
    found["calibration"] = calibration.figures(
        labels, probabilities, learned, settings["bins"], resamples, confidence, again
    )
    return found


def slices(index: pd.DataFrame, dark_below: float, light_from: float) -> dict[str, np.ndarray]:
    """Parts of a split, bool [N] each: gray or colour by content; dark, medium or light by mean luminance, 0..255."""
    gray, mean = index["gray"].to_numpy(bool), index["mean"].to_numpy()
    dark, light = mean < dark_below, mean >= light_from
    return {"gray": gray, "colour": ~gray, "dark": dark, "medium": ~dark & ~light, "light": light}


def accuracy_line(name: str, figures: Mapping[str, Any]) -> str:
    """What a split's figures come to, for the log."""
    low, high = figures["intervals"]["accuracy"]
    scores = figures["scores"]
    f1 = f", macro F1 {scores['f1_macro']:.4f}" if "f1_macro" in scores else ""
    return f"{name} accuracy {scores['accuracy']:.4f} ({low:.4f} to {high:.4f}){f1}, {figures['images']} images"


def headline(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a split that runs are compared by, flat."""
    found = figures["calibration"]
    answers = found["answers"]
    return {
        "images": figures["images"],
        **figures["scores"],
        **{f"{name}_low": low for name, (low, _) in figures["intervals"].items()},
        **{f"{name}_high": high for name, (_, high) in figures["intervals"].items()},
        **{f"accuracy_{name}": figure["scores"]["accuracy"] for name, figure in figures["slices"].items()},
        "nll": found["nll"]["before"],
        "nll_calibrated": found["nll"]["after"],
        "ece": found["ece"]["before"],
        "ece_calibrated": found["ece"]["after"],
        "risk_coverage_area": found["risk_coverage_area"],
        **{f"answers_{key}": answers[key] for key in ("coverage", "precision") if key in answers},
    }


def table(name: str, index: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """A row for each image: split, id, label 0..6, gray, and a probability for each emotion."""
    rows = index[["id", "label", "gray"]].reset_index(drop=True)
    rows.insert(0, "split", name)
    return pd.concat([rows, pd.DataFrame(probabilities, columns=list(LABELS))], axis=1)


def plots(
    figures: Mapping[str, Any], labels: np.ndarray, probabilities: np.ndarray, learned: Calibration, title: str
) -> dict[str, Figure]:
    """The plots of a split, by the names in `PLOTS`."""
    curve = calibration.risk_coverage(labels, calibrated(probabilities, learned.temperature))
    return {
        "confusion": run_plots.confusion(np.array(figures["confusion"]), title),
        "classification": run_plots.classification(figures["per_class"], title),
        "roc": run_plots.roc(labels, probabilities, title),
        "reliability": run_plots.reliability(figures["calibration"], learned.temperature, title),
        "risk_coverage": run_plots.risk_coverage(curve, learned.threshold, title),
    }

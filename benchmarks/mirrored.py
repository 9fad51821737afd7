"""How far valid flatters what it has chosen: models asked about valid as it is, and about its mirrored images.

python benchmarks/mirrored.py champion_8.keras multirun/champion/train/model.keras

A model that was trained with mirrored images should do as well on one as on the other. Valid as it is has chosen epochs
and models, so these may have been lucky on it; the mirrored images have chosen nothing. Prints JSON: for each model its
accuracy, macro F1 and log loss on both, the log loss by which the first is the better, and, against the first model,
the log loss by which it is lower over both together, with 95 % intervals (Student's t over images).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.learning import models
from pipeline.reporting import compare, metrics
from pipeline.reporting.calibration import log_losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help=".keras files; the first is what others are compared with")
    parser.add_argument("--arrays", type=Path, default=Path("data/resized/grayscale"))
    arguments = parser.parse_args()
    images = np.load(arguments.arrays / "valid.npy")
    labels = pd.read_parquet(arguments.arrays / "valid.parquet")["label"].to_numpy()
    found, first = {}, None
    for path in arguments.models:
        model = models.load(path)
        views = {"as it is": images, "mirrored": images[:, :, ::-1]}
        said = {name: model.predict(view, batch_size=256, verbose=0) for name, view in views.items()}
        losses = {name: log_losses(labels, each) for name, each in said.items()}
        found[str(path)] = {name: figures(labels, each) for name, each in said.items()}
        found[str(path)]["lower as it is"] = lower(losses["mirrored"], losses["as it is"])
        both = np.mean(list(losses.values()), axis=0)
        if first is None:
            first = both
        else:
            found[str(path)]["lower than the first, over both"] = lower(first, both)
    print(json.dumps(found, indent=2))


def figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    scores = metrics.scores(labels, probabilities)
    values = scores["accuracy"], scores["f1_macro"], log_losses(labels, probabilities).mean()
    return dict(zip(("accuracy", "macro F1", "log loss"), (round(float(each), 4) for each in values), strict=True))


def lower(one: np.ndarray, other: np.ndarray) -> list[float]:
    """By how much the second's log loss is lower, and the ends of its interval."""
    ends = compare.paired_difference(one, other, 0.95)
    return [round(ends[key], 4) for key in ("mean", "low", "high")]


if __name__ == "__main__":
    main()

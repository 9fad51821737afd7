"""The faces a run was most surely wrong about, from its predictions and the resized images."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.labels import LABELS


def worst(predictions: pd.DataFrame, images: int) -> pd.DataFrame:
    """The wrong predictions with the highest probability: columns id, true, predicted, probability, true_probability.

    `predictions` has the id as index, `label`, and a column per emotion.
    """
    probabilities = predictions[list(LABELS)].to_numpy()
    labels, rows = predictions["label"].to_numpy(), np.arange(len(predictions))
    predicted = probabilities.argmax(1)
    table = pd.DataFrame(
        {
            "id": predictions.index,
            "true": np.array(LABELS)[labels],
            "predicted": np.array(LABELS)[predicted],
            "probability": probabilities[rows, predicted],
            "true_probability": probabilities[rows, labels],
        }
    )
    return table[predicted != labels].sort_values("probability", ascending=False, kind="stable").head(images)


def with_faces(table: pd.DataFrame, folder: Path, digest: str) -> list[dict[str, Any]] | str:
    """The rows of `worst`, each with its face of valid as `image`, a data URI; or why there are none to show.

    `folder` holds resized arrays; only those with this digest are the images that the run was validated on.
    """
    try:
        about = json.loads((folder / "dataset.json").read_text())
        if about["digest"]["valid"] != digest:
            return f"{folder} holds other images now than those that this run was validated on"
        pixels = np.load(folder / "valid.npy", mmap_mode="r")
        position = pd.Series(range(len(pixels)), pd.read_parquet(folder / "valid.parquet")["id"])
    except FileNotFoundError:
        return f"the resized images are not in {folder}"
    except (OSError, ValueError):
        return f"the resized images in {folder} cannot be read, one of its files was cut off; resize them again"
    return [row | {"image": _uri(pixels[position[row["id"]]])} for row in table.to_dict("records")]


def _uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

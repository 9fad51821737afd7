"""The faces a run was most surely wrong about, from its predictions and the resized images."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.labels import LABELS
from pipeline.learning.arrays import read_arrays
from pipeline.reporting.template import with_pictures
from pipeline.running.errors import UserError


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


def with_faces(table: pd.DataFrame, folder: Path, data: str, digest: str) -> list[dict[str, Any]] | str:
    """The rows of `worst`, each with its face of valid as `image`, a data URI; or why there are none to show.

    `folder` holds resized arrays of `data`; only those with this digest are what the run was validated on.
    """
    try:
        arrays = read_arrays(folder, data)
        if arrays.digest["valid"] != digest:
            return f"{folder} holds other images now than those that this run was validated on"
        valid = arrays.split("valid")
    except UserError as error:
        return str(error)
    position = pd.Series(range(len(valid.images)), valid.index["id"])
    faces = [Image.fromarray(valid.images[position[id]].squeeze()) for id in table["id"]]
    return with_pictures(table.to_dict("records"), faces)

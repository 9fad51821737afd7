"""Reads what `resize` wrote: uint8 images memory-mapped, so that a data set larger than memory trains as well."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.running.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, C], memory-mapped; labels int64 [N] in public encoding; `index` has a row per image."""

    images: np.ndarray
    labels: np.ndarray
    index: pd.DataFrame


@dataclass(frozen=True)
class Arrays:
    """One resized data set: its `name`, `size` in pixels, `channels` 1 or 3, `digest` per split, and its folder."""

    folder: Path
    name: str
    size: int
    channels: int
    digest: dict[str, str]

    def split(self, name: str) -> Split:
        """The split `train`, `valid` or `test`; UserError when it holds no image."""
        images = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        index = pd.read_parquet(self.folder / f"{name}.parquet")
        if len(images) == 0:
            raise UserError(f"{self.folder / name}.npy: no image in split {name}; clean kept none, see data/clean")
        return Split(images, index["label"].to_numpy(np.int64), index)


def image_set(split: Split) -> str:
    """SHA-256 in hex of which images a split holds and their labels; the same for rgb and grayscale arrays of them."""
    rows = "".join(f"{id}\t{label}\n" for id, label in zip(split.index["id"], split.labels, strict=True))
    return hashlib.sha256(rows.encode()).hexdigest()


def read_arrays(folder: str | Path, name: str) -> Arrays:
    """The arrays in `folder`; UserError when there are none or they are of another data set than `name`."""
    folder = Path(folder)
    try:
        about = json.loads((folder / "dataset.json").read_text())
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no resized images there; run `dvc repro`, or `python -m pipeline.clean` and "
            "`python -m pipeline.resize`, from the project's folder"
        ) from None
    if about["name"] != name:
        raise UserError(
            f"{folder}: holds the data set {about['name']!r}, but data={name} was asked for; "
            f"pass data={about['name']} or run clean and resize for {name}"
        )
    channels = np.load(folder / "train.npy", mmap_mode="r").shape[-1]
    return Arrays(folder, about["name"], about["size"], channels, about["digest"])

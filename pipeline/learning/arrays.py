"""The arrays of `resize` and `balance`: written block by block, read memory-mapped, so that they may exceed memory."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.labels import LABELS
from pipeline.running.errors import UserError
from pipeline.running.files import exists
from pipeline.running.outputs import read_array, read_json, read_table


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, C], memory-mapped; labels int64 [N] in public encoding; `index` has a row per image."""

    images: np.ndarray
    labels: np.ndarray
    index: pd.DataFrame


@dataclass(frozen=True)
class Arrays:
    """One resized data set: its `name`, `size` in pixels, `channels` 1 or 3, `digest` per split, and its folder.

    `train_folder` is where train lies: another one when it has been balanced. `made_from` is the digest of what
    cleaning had kept (running.cleaned).
    """

    folder: Path
    train_folder: Path
    name: str
    size: int
    channels: int
    digest: dict[str, str]
    made_from: str

    def split(self, name: str) -> Split:
        """The split `train`, `valid` or `test`.

        UserError when it holds no image, a file of it is damaged, or it was made anew since this was read: a run notes
        the digest of what it was trained on.
        """
        folder = self.train_folder if name == "train" else self.folder
        again = (_resize if folder == self.folder else _balance)(self.name, folder)
        images = read_array(folder / f"{name}.npy", again)
        index = read_table(folder / f"{name}.parquet", again)
        now = read_json(folder / "dataset.json", again)["digest"]  # after the files, which folders replace as a whole
        if (now if isinstance(now, str) else now[name]) != self.digest[name]:
            raise UserError(f"{folder}: was made of other images while this ran; run the same command again")
        if len(images) == 0:
            raise UserError(f"{folder / name}.npy: no image in split {name}; clean kept none, see data/clean")
        return Split(images, index["label"].to_numpy(np.int64), index)


def write_images(path: Path, shape: tuple[int, ...], blocks: Iterable[np.ndarray], labels: np.ndarray) -> str:
    """Write uint8 images as one .npy of `shape`, [N, H, W, C], block by block.

    Returns the SHA-256 hex over their pixels, then their labels, int8 [N]: it says which images a run was trained on.
    Written as a stream: memory stays at one block, and a mapped file would end in a bus error where the disk is full.
    """
    digest = hashlib.sha256()
    with path.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for block in blocks:
            digest.update(block)
            out.write(block.data)
    digest.update(labels.astype(np.int8).tobytes())
    return digest.hexdigest()


def image_set(split: Split) -> str:
    """SHA-256 in hex of which images a split holds and their labels; the same for rgb and grayscale arrays of them."""
    rows = "".join(f"{id}\t{label}\n" for id, label in zip(split.index["id"], split.labels, strict=True))
    return hashlib.sha256(rows.encode()).hexdigest()


def read_arrays(folder: str | Path, name: str, of_run: str = "") -> Arrays:
    """The arrays in `folder`; UserError when there are none, damaged ones, or those of another data set than `name`.

    `of_run` is the run that decides `name`, where no choice of the user's does.
    """
    folder = Path(folder)
    again = _resize(name, folder)
    if not exists(folder / "dataset.json"):
        raise UserError(f"{folder}: no resized images there; {again}")
    about = read_json(folder / "dataset.json", again)
    if about["name"] != name:
        asked = (
            f"{of_run} was trained on {name!r}; "
            if of_run
            else f"data={name} was asked for; pass data={about['name']} or "
        )
        raise UserError(f"{folder}: holds the data set {about['name']!r}, but {asked}{again}")
    if about["labels"] != list(LABELS):
        raise UserError(f"{folder}: was made for the emotions {', '.join(about['labels'])}; {again}")
    channels = read_array(folder / "train.npy", again).shape[-1]
    return Arrays(folder, folder, about["name"], about["size"], channels, about["digest"], about["made_from"])


def require_same_held_out(arrays: Arrays, about: Mapping[str, str], run: str) -> None:
    """UserError unless valid and test are those of when `run` was trained, whose run.json is `about`.

    By valid it was chosen, and from both its training images were kept apart; another test may hold some of them.
    """
    if any(arrays.digest[split] != about.get(f"{split}_digest") for split in ("valid", "test")):
        raise UserError(
            f"{run}: was trained and chosen on other images than {arrays.folder} holds now; "
            "make those again, or train anew"
        )


def balanced(arrays: Arrays, folder: str | Path, choice: Mapping) -> Arrays:
    """`arrays` with the train that `balance` made of them in `folder`; valid and test stay as they are.

    `choice` is a file of conf/balance/; where its `per_class` is null, train stays as well. UserError when that set was
    not made, or was made of other images or for another number of them.
    """
    if choice["per_class"] is None:
        return arrays
    folder = Path(folder)
    again = f"{_balance(arrays.name, folder)} balance.per_class={choice['per_class']}"
    if not exists(folder / "dataset.json"):
        raise UserError(f"{folder}: no balanced training set there; {again}")
    about = read_json(folder / "dataset.json", again)
    if (about["per_class"], about["made_from"]) != (choice["per_class"], arrays.digest["train"]):
        raise UserError(
            f"{folder}: has {about['per_class']} images of each emotion, made from train of {about['name']} as it was "
            f"then; asked for are {choice['per_class']}, from train as it is in {arrays.folder}; {again}"
        )
    return replace(arrays, train_folder=folder, digest=arrays.digest | {"train": about["digest"]})


def _resize(name: str, folder: Path) -> str:
    """What makes the arrays of the data `name` in `folder` again."""
    return (
        f"run `python -m pipeline.clean data={name}` and `python -m pipeline.resize data={name} "
        f"channels={folder.name}`, or `dvc repro` where params.yaml has them, from the project's folder"
    )


def _balance(name: str, folder: Path) -> str:
    """What makes the balanced set of the data `name` in `folder` again."""
    return f"run: python -m pipeline.balance data={name} channels={folder.name} balance={folder.parent.name}"

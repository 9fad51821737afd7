"""Make a training set with as many images of each emotion as the choice of balance asks for, from train alone.

Images of rare emotions are generated from others of the same emotion; of frequent ones the sharpest stay. Valid and
test are not touched, nor read. Writes data/balanced/<balance>/<channels>/: train.npy and train.parquet as resize does,
with `source`, the id of the image that each came from; left_out.csv; and dataset.json, what was asked for and what came
of it. Where `per_class` is null it says just that, and training takes the images as they are.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.labels import LABELS
from pipeline.learning.arrays import Split, read_arrays, write_images
from pipeline.running import cli
from pipeline.running.cleaned import require_current
from pipeline.running.errors import UserError
from pipeline.running.files import whole_folder, write_json
from pipeline.running.progress import progress

log = logging.getLogger(__name__)

CHUNK = 1000  # images at a time in memory


def main(cfg: DictConfig) -> None:
    arrays = read_arrays(Path(cfg.paths.resized) / cfg.channels.name, cfg.data.name)
    require_current(arrays.folder, arrays.made_from, cfg.data, Path(cfg.paths.clean))
    output = Path(cfg.paths.balanced) / cfg.balance.name / cfg.channels.name
    about = {"name": arrays.name, "per_class": cfg.balance.per_class, "made_from": arrays.digest["train"]}
    with whole_folder(output, "dataset.json") as folder:
        if cfg.balance.per_class is not None:  # else what generates has no part in it, and nothing depends on it
            about |= {"seed": cfg.seed, "generate": OmegaConf.to_container(cfg.generate)}
            about |= balance(arrays.split("train"), cfg.balance.per_class, about["generate"], cfg.seed, folder)
        write_json(folder / "dataset.json", about)
    log.info("balance=%s: %s; see %s", cfg.balance.name, described(about), output)


def described(about: dict) -> str:
    """One line on what dataset.json says."""
    if about["per_class"] is None:
        return "training takes the images as they are"
    return f"{about['images']:,} images, {about['generated']:,} of them generated; {about['left_out']:,} left out"


def balance(train: Split, per_class: int, choice: dict, seed: int, folder: Path) -> dict:
    """Write the balanced set into `folder`; returns its figures for dataset.json.

    digest is the SHA-256 hex of its pixels, then its labels. `choice` is `generate` of conf/balance.yaml. UserError for
    an emotion without any image to generate from.
    """
    quality = sharpness(train.images)
    rows, generated = chosen(train.labels, quality, per_class, seed)
    index = train.index.iloc[rows].reset_index(drop=True)
    index["source"] = index["id"]
    index["generated"] = generated
    number = pd.Series(np.arange(len(rows)))[generated].astype(str)
    index.loc[generated, "id"] = index["source"][generated] + "#generated-" + number

    def block(start: int) -> np.ndarray:
        part = slice(start, start + CHUNK)
        images = train.images[rows[part]]
        if (new := np.flatnonzero(generated[part])).size:
            images[new] = generate(images[new], choice, (seed, start))
        return images

    blocks = map(block, progress(range(0, len(rows), CHUNK), len(rows), "balance", step=CHUNK))
    shape = (len(rows), *train.images.shape[1:])
    digest = write_images(folder / "train.npy", shape, blocks, index["label"].to_numpy())
    index.to_parquet(folder / "train.parquet", index=False)
    left_out = np.setdiff1d(np.arange(len(train.labels)), rows)
    left = train.index.iloc[left_out][["id", "label"]].assign(sharpness=quality[left_out].round(4))
    left.to_csv(folder / "left_out.csv", index=False)
    return {
        "digest": digest,
        "images": len(rows),
        "generated": int(generated.sum()),
        "left_out": len(left),
        "counts": {label: int((index["label"] == number).sum()) for number, label in enumerate(LABELS)},
    }


def chosen(labels: np.ndarray, quality: np.ndarray, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of train make up the balanced set, int64 [7 * per_class], and which of them are to be generated, bool.

    Of an emotion with more images the `per_class` of highest quality stay, in their order; one with fewer keeps all and
    generates from each as often as from any other, give or take once.
    """
    generator = np.random.default_rng(seed)
    rows, generated = [], []
    for label, name in enumerate(LABELS):
        own = np.flatnonzero(labels == label)
        if len(own) == 0:
            raise UserError(f"train has no image of {name} to generate others from; clean kept none, see data/clean")
        kept = np.sort(own[np.argsort(-quality[own], kind="stable")[:per_class]])
        missing = per_class - len(kept)
        rounds = -(-missing // len(own))
        made = np.concatenate([generator.permutation(own) for _ in range(rounds)] or [own[:0]])[:missing]
        rows += [kept, made]
        generated += [np.zeros(len(kept), bool), np.ones(missing, bool)]
    return np.concatenate(rows), np.concatenate(generated)


def sharpness(images: np.ndarray) -> np.ndarray:
    """How much fine detail images uint8 [N, H, W, C] show: float64 [N], from 0, nothing but smooth, to about 20, noise.

    The variance of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing"), over the variance of the image: a
    dark or a pale picture is not taken for a bad one. What was enlarged from few pixels or lost its detail to
    compression comes low.
    """
    found = np.zeros(len(images))
    for start in range(0, len(images), CHUNK):
        gray = images[start : start + CHUNK].mean(axis=-1, dtype=np.float32)
        around = gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]
        detail = (4 * gray[:, 1:-1, 1:-1] - around).var(axis=(1, 2))
        found[start : start + CHUNK] = detail / np.maximum(gray.var(axis=(1, 2)), 1e-6)
    return found


def generate(images: np.ndarray, choice: dict, seed: tuple[int, int]) -> np.ndarray:
    """Each of uint8 [N, H, W, C] once more, changed at random as `choice`, like a file of conf/augment/, says.

    Nothing is mixed: what is generated is of one emotion.
    """
    import tensorflow as tf  # here: it takes seconds to import, and balance=none does without

    from pipeline.learning.augment import augment

    labels = tf.zeros((len(images), len(LABELS)))
    return augment(tf.constant(images), labels, tf.constant(seed, tf.int32), choice | {"mixup": 0})[0].numpy()


if __name__ == "__main__":
    cli.run("balance")

"""Say whether one model is better than another on the same images: accuracy, macro F1 and log loss, image by image.

Two models are right about the same easy images and wrong about the same hard ones; so their difference is known better
than either figure is. Reads predictions.parquet of two evaluated runs, or of two folders that measure has written; its
probabilities are those before any temperature. Writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from pipeline.labels import LABELS
from pipeline.reporting import compare, metrics
from pipeline.reporting.calibration import log_losses
from pipeline.running import cli
from pipeline.running.errors import UserError
from pipeline.running.files import exists
from pipeline.running.outputs import read_table
from pipeline.running.run_folder import PREDICTIONS

LOWER = ("log loss",)  # figures that are better where they are lower


@dataclass(frozen=True)
class Contrast:
    """A figure of two models on the same images, and their difference, first less second, with its interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.first - self.second

    def verdict(self, name: str) -> str:
        """Which is better, if the interval leaves one possibility; the lower one in `LOWER`."""
        low, high = (-self.high, -self.low) if name in LOWER else (self.low, self.high)
        return "first is better" if low > 0 else "second is better" if high < 0 else "not shown to differ"


def main(cfg: DictConfig) -> None:
    first, second = (predictions(name, cfg[name], cfg.split) for name in ("first", "second"))
    same = first.index.intersection(second.index)
    if same.empty:
        raise UserError(f"second={cfg.second}: has none of the images of first={cfg.first} in {cfg.split}")
    left_out = len(first.index.union(second.index)) - len(same)
    first, second = first.loc[same], second.loc[same]
    if (differ := first["label"] != second["label"]).any():
        raise UserError(f"second={cfg.second}: {same[differ][0]!r} has another label there than in first={cfg.first}")
    labels, said = first["label"].to_numpy(), [table[list(LABELS)].to_numpy() for table in (first, second)]
    confidence = 1 - (1 - cfg.confidence) / cfg.questions
    found = contrasts(labels, *said, confidence, cfg.resamples, np.random.default_rng(cfg.seed))
    answers = [each.argmax(1) for each in said]
    beside = f"; {left_out:,} that only one of them has are left out" if left_out else ""
    print(f"first: {cfg.first}\nsecond: {cfg.second}")
    print(f"{cfg.split}: {len(same):,} images{beside}; {np.mean(answers[0] != answers[1]):.1%} answered differently")
    for line in lines(found, compare.mcnemar(*(each == labels for each in answers))):
        print(f"  {line}")
    widened = f", widened so that {cfg.questions} such intervals hold together" if cfg.questions > 1 else ""
    print(f"Intervals of {cfg.confidence:.0%}{widened}, for other such images; other seeds are not in them.")
    if cfg.split == "test":
        print("Test is to be asked once, when all is chosen: what it chooses, it flatters.")


def predictions(name: str, folder: str, split: str) -> pd.DataFrame:
    """What the model in a folder said of each image of a split, by the image's id; UserError when that isn't there."""
    files = [Path(folder, PREDICTIONS), Path(folder, Path(PREDICTIONS).name)]
    file = next((file for file in files if exists(file)), None)
    if file is None:
        raise UserError(
            f"{name}={folder}: has no {files[0].name}; expected a run that is evaluated (python -m pipeline.evaluate "
            f"run={folder}), or a folder that python -m pipeline.measure has written"
        )
    table = read_table(file, "run the step that wrote it again")
    if missing := {"split", "id", "label", *LABELS} - set(table):
        raise UserError(f"{name}={folder}: {file} has no column {min(missing)!r}; expected one of evaluate or measure")
    there = sorted(table["split"].unique())
    if split not in there:
        raise UserError(f"{name}={folder}: has no {split}; it has {' and '.join(there)}: split=<one of them>")
    return table[table["split"] == split].set_index("id").sort_index()


def contrasts(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, Contrast]:
    """Accuracy, macro F1 and log loss of two models on the same images, paired.

    labels: int [N]. first, second: float [N, 7]. Macro F1 is left out where an emotion has fewer than metrics.FEWEST
    images. Its interval is by bootstrap over images, the others' are `compare.on_same_images` and Student's t.
    """
    said = [each.argmax(1) for each in (first, second)]
    right = [each == labels for each in said]
    found = {}
    ends = compare.on_same_images(*right).interval(confidence)
    found["accuracy"] = Contrast(*(float(each.mean()) for each in right), *ends)
    counts = np.zeros((len(LABELS),) * 3, int)
    np.add.at(counts, (labels, *said), 1)
    if counts.sum((1, 2)).min() >= metrics.FEWEST:
        found["macro F1"] = of_macro_f1(counts, resamples, confidence, generator)
    losses = [log_losses(labels, each) for each in (first, second)]
    ends = compare.paired_difference(*losses, confidence)
    low, high = (ends[end] if np.isfinite(ends[end]) else ends["mean"] for end in ("low", "high"))  # the same answers
    found["log loss"] = Contrast(*(float(each.mean()) for each in losses), low, high)
    return found


def of_macro_f1(counts: np.ndarray, resamples: int, confidence: float, generator: np.random.Generator) -> Contrast:
    """Macro F1 of two models, by percentile bootstrap.

    counts: images [7, 7, 7] by label, first's answer and second's. As in metrics.intervals a resample of the images is
    one draw, here over these cells.
    """
    total = int(counts.sum())
    drawn = generator.multinomial(total, counts.ravel() / total, size=resamples).reshape(-1, *counts.shape)
    (one,), (other,) = (metrics.macro_f1(counts[None].sum(axis)) for axis in (3, 2))
    apart = metrics.macro_f1(drawn.sum(3)) - metrics.macro_f1(drawn.sum(2))
    tail = (1 - confidence) / 2
    return Contrast(float(one), float(other), *np.quantile(apart, [tail, 1 - tail]).tolist())


def lines(found: Mapping[str, Contrast], p: float) -> list[str]:
    """A line for each figure: both models, the difference and what it shows; p: McNemar's, of accuracy."""
    said = []
    for name, each in found.items():
        points = name == "accuracy"
        values = f"{each.first:>6.1%} {each.second:>6.1%}" if points else f"{each.first:>6.3f} {each.second:>6.3f}"
        apart = [f"{100 * end:+.1f}" if points else f"{end:+.3f}" for end in (each.difference, each.low, each.high)]
        unit, test = (" points", f", McNemar p = {p:.2g}") if points else ("", "")
        said.append(f"{name:8} {values}  {apart[0]}{unit} ({apart[1]} to {apart[2]}){test}: {each.verdict(name)}")
    return said


if __name__ == "__main__":
    cli.run("contrast")

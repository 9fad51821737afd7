"""List the images of train whose label is probably wrong, for a person to look at. Removes nothing.

A quick model is fitted on all folds but one and asked about the images of that one; confident learning (Northcutt,
Jiang and Chuang, Journal of Artificial Intelligence Research 70, 2021) says which of its disagreements with a label are
the label's fault. Needs what resize wrote. Writes reports/suspect_labels.csv and .html; an image that is wrong indeed
goes by its id on the list data.deny, which cleaning obeys.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.labels import LABELS
from pipeline.learning.arrays import read_arrays
from pipeline.reporting.template import page, with_pictures
from pipeline.running import cli
from pipeline.running.cleaned import require_current
from pipeline.running.errors import UserError
from pipeline.running.files import whole_file
from pipeline.running.progress import progress

TEMPLATE = Path(__file__).parent / "reporting" / "suspects.html"


def main(cfg) -> None:
    arrays = read_arrays(Path(cfg.paths.resized, cfg.channels.name), cfg.data.name)
    require_current(arrays.folder, arrays.made_from, cfg.data, Path(cfg.paths.clean))
    train = arrays.split("train")
    size = train.images.shape[1]
    if size < 16 or size % 8:
        raise UserError(f"the images are {size} pixels wide; expected a multiple of 8 from 16 on, see resize's size=")
    shapes = gradients(train.images)
    probabilities = out_of_fold(shapes, train.labels, cfg.folds, OmegaConf.to_container(cfg.model), cfg.seed)
    found = suspects(probabilities, train.labels)
    found.insert(0, "id", train.index["id"].to_numpy()[found.index])
    shown = found.head(cfg.show)
    pictures = [Image.fromarray(train.images[row].squeeze()) for row in shown.index]
    csv, html = (Path(cfg.paths.reports, f"suspect_labels.{suffix}") for suffix in ("csv", "html"))
    with whole_file(csv) as file:
        found.round(4).to_csv(file, index=False)
    with whole_file(html) as file:
        file.write_text(gallery(shown, pictures, len(found), len(train.labels), cfg.tile), encoding="utf-8")
    accuracy = (probabilities.argmax(1) == train.labels).mean()
    print(
        f"{cfg.data.name}: {len(found):,} of {len(train.labels):,} labels of train are suspect, the surest first; "
        f"look at {html}"
    )
    print(f"  the quick model agrees with {accuracy:.1%} of the labels of images it was not fitted on")


def gradients(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs, 2005), float32 [N, F], of uint8 [N, H, W, 1 or 3].

    Cells of 8 pixels, nine directions, blocks of 2x2 cells: F is 900 at 48x48. H and W are multiples of 8.
    """
    height, width = images.shape[1:3]
    histogram = cv2.HOGDescriptor((width, height), (16, 16), (8, 8), (8, 8), 9)
    return np.stack([histogram.compute(np.ascontiguousarray(image)).ravel() for image in images])


def out_of_fold(shapes: np.ndarray, labels: np.ndarray, folds: int, model: Mapping, seed: int) -> np.ndarray:
    """Probabilities [N, 7] for each image by a model fitted on the other folds, which hold their share of each class.

    model: see `model` in conf/suspect.yaml. UserError if a class that is there has fewer images than there are folds.
    """
    present, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        few = LABELS[present[counts.argmin()]]
        raise UserError(
            f"train has {counts.min()} images of {few}, fewer than folds={folds}; set folds to at most that"
        )
    probabilities = np.zeros((len(labels), len(LABELS)))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(shapes, labels)
    for fitted, judged in progress(split, folds, "fit on the others", "fold"):
        batch_size = min(model["batch_size"], len(fitted))
        epochs = -(-model["steps"] * batch_size // len(fitted))
        classifier = make_pipeline(
            StandardScaler(),
            PCA(min(model["components"], len(fitted), shapes.shape[1]), random_state=seed),
            MLPClassifier(
                (model["hidden"],),
                alpha=model["weight_decay"],
                batch_size=batch_size,
                learning_rate_init=model["learning_rate"],
                max_iter=epochs,
                n_iter_no_change=epochs,  # it never stops before
                random_state=seed,
            ),
        )
        # It is not meant to converge. A second thread slows products as small as these down, by several times on a busy
        # machine.
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning), threadpool_limits(1):
            classifier.fit(shapes[fitted], labels[fitted])
        probabilities[np.ix_(judged, present)] = classifier.predict_proba(shapes[judged])
    return probabilities


def suspects(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The rows whose label is probably wrong, the most suspect first, by position: label, suggested, margin, ...

    The method of the paper's sections 3.1 and 3.2: the threshold of a class is the mean probability that its own images
    are given for it (equation 2); an image counts as of the likeliest of the classes whose threshold it reaches, and is
    suspect where that is not its label, off the diagonal of the confident joint (equation 1). Ranked by `margin`, the
    label's probability less the suggested one's. cleanlab does the same with a dozen more ways of ranking.
    """
    rows, own = np.arange(len(labels)), probabilities[np.arange(len(labels)), labels]
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        thresholds[label] = own[labels == label].mean()
    reached = probabilities >= thresholds
    suggested = np.where(reached, probabilities, -1).argmax(1)
    found = rows[reached.any(1) & (suggested != labels)]
    margin = own[found] - probabilities[found, suggested[found]]
    names = np.array(LABELS)
    table = {
        "label": names[labels[found]],
        "suggested": names[suggested[found]],
        "margin": margin,
        "label_probability": own[found],
        "suggested_probability": probabilities[found, suggested[found]],
    }
    return pd.DataFrame(table, index=found).sort_values("margin", kind="stable")


def gallery(shown: pd.DataFrame, pictures: list[Image.Image], found: int, of: int, tile: int) -> str:
    """A page of HTML that needs no other file: each image with its label, what was suggested instead, and its id."""
    rows = with_pictures(shown.to_dict("records"), pictures)
    return page(TEMPLATE, {"shown": rows, "found": found, "images": of, "tile": tile})


if __name__ == "__main__":
    cli.run("suspect")

"""Evaluate a finished run on valid and on test: figures with intervals, per class and per slice, and pictures.

The only step that reads test. Writes metrics.json (for DVC), report.json, predictions.parquet and PNG files into the
run's folder, and the figures into its MLflow run.
"""

import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Split, read_arrays
from pipeline.learning.batches import evaluation_batches
from pipeline.reporting import metrics, plots
from pipeline.running import cli, tracking
from pipeline.running.config import flatten
from pipeline.running.errors import UserError
from pipeline.running.files import whole_folder, write_json

log = logging.getLogger(__name__)

EVALUATED = ("valid", "test")


def main(cfg: DictConfig) -> None:
    run = Path(cfg.run)
    if not (run / "train" / "run.json").exists():
        raise UserError(f"run={run}: no finished training there; expected {run}/train, which pipeline.train writes")
    about = json.loads((run / "train" / "run.json").read_text())
    trained_with = OmegaConf.load(run / "train" / "config.yaml")
    arrays = read_arrays(Path(cfg.paths.resized) / trained_with.channels.name, about["data"])
    if arrays.digest["valid"] != about["valid_digest"]:
        raise UserError(
            f"{run}: was trained and chosen on other images than {arrays.folder} holds now; "
            "make those again, or train anew"
        )
    model = models.load(run / "train" / "model.keras")
    generator = np.random.default_rng(cfg.seed)
    report: dict[str, Any] = {}
    with whole_folder(run / "evaluate") as folder:
        predictions = []
        for name in EVALUATED:
            split = arrays.split(name)
            log.info("%s: %s, %d images", about["run"], name, len(split.images))
            probabilities = predict(model, split, cfg.batch_size)
            report[name] = metrics.evaluate_split(
                split.labels, probabilities, split.index["gray"].to_numpy(), cfg.resamples, cfg.confidence, generator
            )
            report[name]["one_by_one"] = one_by_one(model, split, probabilities, cfg.one_by_one)
            predictions.append(_table(name, split, probabilities))
            _pictures(report[name], split, probabilities, f"{about['run']}, {name}", folder, name)
        history = pd.read_csv(run / "train" / "history.csv")
        plots.learning_curves(history, about["run"], folder / "learning_curves.png")
        pd.concat(predictions, ignore_index=True).to_parquet(folder / "predictions.parquet")
        write_json(folder / "metrics.json", {name: headline(report[name]) for name in EVALUATED})
        write_json(folder / "report.json", report | {"run": about["run"], "run_id": about["run_id"]})
    store = tracking.open_store(cfg.paths.tracking, about["data"], create=False)
    store.log_metrics(about["run_id"], flatten({name: headline(report[name]) for name in EVALUATED}))
    store.log_files(about["run_id"], run / "evaluate", "evaluate")
    for name in EVALUATED:
        low, high = report[name]["intervals"]["accuracy"]
        figure = report[name]["scores"]
        log.info(
            "%s: %s accuracy %.4f (%.4f to %.4f), macro F1 %.4f, %d images",
            about["run"],
            name,
            figure["accuracy"],
            low,
            high,
            figure["f1_macro"],
            report[name]["images"],
        )
    log.info("%s: see %s", about["run"], run / "evaluate")


def predict(model: keras.Model, split: Split, batch_size: int) -> np.ndarray:
    """Probabilities float32 [N, 7] of every image of the split, in its order."""
    return model.predict(evaluation_batches(split, batch_size), verbose=0)


def one_by_one(model: keras.Model, split: Split, probabilities: np.ndarray, images: int) -> dict[str, float]:
    """Predict the first `images` images again, each alone, and compare: batch size must not change a result.

    Returns how many were compared, the share with the same emotion (expected 1), and the greatest difference of a
    probability (expected below 1e-4: only the order of float additions may differ).
    """
    some = Split(split.images[:images], split.labels[:images], split.index[:images])
    alone = predict(model, some, 1)
    together = probabilities[:images]
    return {
        "images": len(alone),
        "same_emotion": float((alone.argmax(1) == together.argmax(1)).mean()),
        "max_difference": float(np.abs(alone - together).max()),
    }


def headline(figures: dict[str, Any]) -> dict[str, float]:
    """The figures of a split that DVC and MLflow compare, flat."""
    low, high = figures["intervals"]["accuracy"]
    return {
        "images": figures["images"],
        **figures["scores"],
        "accuracy_low": low,
        "accuracy_high": high,
        **{f"accuracy_{name}": figure["scores"]["accuracy"] for name, figure in figures["slices"].items()},
    }


def _table(name: str, split: Split, probabilities: np.ndarray) -> pd.DataFrame:
    table = split.index[["id", "label", "gray"]].reset_index(drop=True)
    table.insert(0, "split", name)
    return pd.concat([table, pd.DataFrame(probabilities, columns=list(LABELS))], axis=1)


def _pictures(figures: dict, split: Split, probabilities: np.ndarray, title: str, folder: Path, name: str) -> None:
    plots.confusion(np.array(figures["confusion"]), title, folder / f"{name}_confusion.png")
    plots.classification(figures["per_class"], title, folder / f"{name}_classification.png")
    plots.roc(split.labels, probabilities, title, folder / f"{name}_roc.png")


if __name__ == "__main__":
    cli.run("evaluate")

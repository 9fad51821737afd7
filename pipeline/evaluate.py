"""Evaluate a finished run on valid and on test: figures with intervals, per class and per slice, and pictures.

The only step that judges by test; export reads it once more, to see that its formats agree. From valid alone it learns
a temperature, which makes the model's probabilities ones that can be believed, and the threshold below which its answer
had better be "not sure". Writes metrics.json (for DVC), report.json, predictions.parquet and PNG files into the run's
folder, and the figures into its MLflow run.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.learning import models
from pipeline.learning.arrays import Split, image_set, read_arrays, require_same_held_out
from pipeline.learning.batches import evaluation_batches
from pipeline.reporting import calibration, on_split, run_plots
from pipeline.running import cli, run_folder, tracking
from pipeline.running.config import flatten
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, whole_folder, write_json

log = logging.getLogger(__name__)

MARK = Path(run_folder.REPORT).name  # what every evaluate/ has
EVALUATED = ("valid", "test")


def main(cfg: DictConfig) -> None:
    run = Path(cfg.run)
    trained = run_folder.trained(run)
    about, history = trained.about, trained.history()
    check_place(run / "evaluate", MARK)
    arrays = read_arrays(Path(cfg.paths.resized) / trained.config.channels.name, about["data"], about["run"])
    require_same_held_out(arrays, about, str(run))
    store = tracking.open_store(cfg.paths.tracking, about["data"], create=False)
    if store.status(about["run_id"]) is None:
        raise UserError(
            f"run={run}: MLflow has no run {about['run_id']}, to which its figures belong; use the store that it was "
            "trained with (MLFLOW_TRACKING_URI, paths.tracking), or train it again"
        )
    logged = store.run(about["run_id"]).data.metrics  # asked before the work: a server that then goes away costs none
    model = models.load(trained.model)
    splits = {name: arrays.split(name) for name in EVALUATED}
    found: dict[str, np.ndarray] = {}
    for name, part in splits.items():
        log.info("%s: %s, %d images", about["run"], name, len(part.images))
        found[name] = predict(model, part, cfg.batch_size)
    learned = calibration.learn(splits["valid"].labels, found["valid"], cfg.calibration.precision, cfg.confidence)
    tested_on = {"test_digest": arrays.digest["test"], "test_set": image_set(splits["test"])}
    report: dict[str, Any] = {
        "run": about["run"],
        "run_id": about["run_id"],
        "parameters": model.count_params(),
        "input": list(model.input_shape[1:]),
        **tested_on,
        "confidence": cfg.confidence,
        "brightness": OmegaConf.to_container(cfg.brightness),
        "calibration": asdict(learned) | OmegaConf.to_container(cfg.calibration) | {"bins": cfg.bins},
    }
    settings, generator = OmegaConf.to_container(cfg), np.random.default_rng(cfg.seed)
    with whole_folder(run / "evaluate", MARK) as folder:
        for name, part in splits.items():
            said, title = found[name], f"{about['run']}, {name}"
            report[name] = on_split.figures(part.index, said, learned, settings, generator)
            report[name]["one_by_one"] = one_by_one(model, part, said, cfg.one_by_one)
            for plot, figure in on_split.plots(report[name], part.labels, said, learned, title).items():
                figure.savefig(folder / f"{name}_{plot}.png", dpi=run_plots.DPI)
        curves = run_plots.learning_curves(history, about["best_epoch"], about["run"])
        curves.savefig(folder / "learning_curves.png", dpi=run_plots.DPI)
        tables = [on_split.table(name, part.index, found[name]) for name, part in splits.items()]
        pd.concat(tables, ignore_index=True).to_parquet(folder / Path(run_folder.PREDICTIONS).name)
        figures = {name: on_split.headline(report[name]) for name in EVALUATED} | {"calibration": asdict(learned)}
        write_json(folder / "metrics.json", figures)
        write_json(folder / MARK, report)
    store.tag(about["run_id"], tested_on)
    store.log_metrics(about["run_id"], gone(logged, flatten(figures)) | flatten(figures))
    store.log_files(about["run_id"], run / "evaluate", "evaluate")
    for line in [*(on_split.accuracy_line(name, report[name]) for name in EVALUATED), *calibration_lines(report)]:
        log.info("%s: %s", about["run"], line)
    log.info("%s: see %s", about["run"], run / "evaluate")


def gone(logged: Mapping[str, float], figures: Mapping[str, float]) -> dict[str, float]:
    """NaN for each figure that an earlier evaluation of the run logged and this one does not have.

    MLflow can't take a metric back, and its page would show the old one beside those of now.
    """
    return {key: math.nan for key in logged if key.split(".")[0] in EVALUATED and key not in figures}


def calibration_lines(report: Mapping[str, Any]) -> list[str]:
    """What was learnt from valid and what test says of it, for the log."""
    learned, test = report["calibration"], report["test"]["calibration"]
    promise = f"right at least {100 * learned['precision']:g}% of the time"
    doubt = " (an end of the range searched: not to be relied on)" if test["at_bound"] else ""
    ece, chance, answers = test["ece"], test["ece_by_chance"], test["answers"]
    error = (
        f"temperature {learned['temperature']:.3f}{doubt}, calibration error on test {ece['before']:.4f}, with it "
        f"{ece['after']:.4f} (by chance alone {chance['mean']:.4f}, seldom over {chance['high']:.4f})"
    )
    if learned["threshold"] == 1:
        return [error, f'no threshold on valid makes its answers {promise}, so it is always "not sure"']
    if learned["threshold"] == 0:
        when = f'never "not sure": on valid its answers are {promise}'
    else:
        when = f'"not sure" up to {learned["threshold"]:.3f}, to be {promise}'
    right = f", {answers['precision']:.1%} of them right" if "precision" in answers else ""
    return [error, f"{when}; on test {answers['coverage']:.1%} answered{right}"]


def predict(model: keras.Model, part: Split, batch_size: int) -> np.ndarray:
    """Probabilities float32 [N, 7] of every image of the split, in its order."""
    return model.predict(evaluation_batches(part, batch_size), verbose=0)


def one_by_one(model: keras.Model, part: Split, probabilities: np.ndarray, images: int) -> dict[str, float]:
    """Predict the first `images` images again, each alone, and compare: batch size must not change a result.

    Returns how many were compared, the share with the same emotion (expected 1), and the greatest difference of a
    probability (expected below 1e-4: only the order of float additions may differ).
    """
    some = Split(part.images[:images], part.labels[:images], part.index[:images])
    alone = predict(model, some, 1)
    together = probabilities[:images]
    return {
        "images": len(alone),
        "same_emotion": float((alone.argmax(1) == together.argmax(1)).mean()),
        "max_difference": float(np.abs(alone - together).max()),
    }


if __name__ == "__main__":
    cli.run("evaluate")

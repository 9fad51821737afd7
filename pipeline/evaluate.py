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
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Split, image_set, read_arrays, require_same_held_out
from pipeline.learning.batches import evaluation_batches
from pipeline.reporting import calibration, metrics, run_plots
from pipeline.reporting.calibration import Calibration
from pipeline.reporting.temperature import calibrated
from pipeline.running import cli, run_folder, tracking
from pipeline.running.config import flatten
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, whole_folder, write_json

log = logging.getLogger(__name__)

MARK = "report.json"  # what every evaluate/ has
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
    for name, split in splits.items():
        log.info("%s: %s, %d images", about["run"], name, len(split.images))
        found[name] = predict(model, split, cfg.batch_size)
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
        "calibration": asdict(learned) | OmegaConf.to_container(cfg.calibration),
    }
    generator = np.random.default_rng(cfg.seed)
    with whole_folder(run / "evaluate", MARK) as folder:
        for name, split in splits.items():
            parts = slices(split.index, **cfg.brightness)
            labels, said = split.labels, found[name]
            report[name] = metrics.evaluate_split(labels, said, parts, cfg.resamples, cfg.confidence, generator)
            again = np.random.default_rng(cfg.seed)
            report[name]["calibration"] = calibration.figures(
                labels, said, learned, cfg.calibration.bins, cfg.resamples, cfg.confidence, again
            )
            report[name]["one_by_one"] = one_by_one(model, split, said, cfg.one_by_one)
            for plot, figure in _plots(report[name], labels, said, learned, f"{about['run']}, {name}").items():
                figure.savefig(folder / f"{name}_{plot}.png", dpi=run_plots.DPI)
        curves = run_plots.learning_curves(history, about["best_epoch"], about["run"])
        curves.savefig(folder / "learning_curves.png", dpi=run_plots.DPI)
        tables = [_table(name, split, found[name]) for name, split in splits.items()]
        pd.concat(tables, ignore_index=True).to_parquet(folder / "predictions.parquet")
        figures = {name: headline(report[name]) for name in EVALUATED} | {"calibration": asdict(learned)}
        write_json(folder / "metrics.json", figures)
        write_json(folder / MARK, report)
    store.tag(about["run_id"], tested_on)
    store.log_metrics(about["run_id"], gone(logged, flatten(figures)) | flatten(figures))
    store.log_files(about["run_id"], run / "evaluate", "evaluate")
    for line in [*(accuracy_line(name, report[name]) for name in EVALUATED), *calibration_lines(report)]:
        log.info("%s: %s", about["run"], line)
    log.info("%s: see %s", about["run"], run / "evaluate")


def gone(logged: Mapping[str, float], figures: Mapping[str, float]) -> dict[str, float]:
    """NaN for each figure that an earlier evaluation of the run logged and this one does not have.

    MLflow can't take a metric back, and its page would show the old one beside those of now.
    """
    return {key: math.nan for key in logged if key.split(".")[0] in EVALUATED and key not in figures}


def accuracy_line(name: str, figures: Mapping[str, Any]) -> str:
    """What a split's figures come to, for the log."""
    low, high = figures["intervals"]["accuracy"]
    accuracy, f1 = figures["scores"]["accuracy"], figures["scores"]["f1_macro"]
    return f"{name} accuracy {accuracy:.4f} ({low:.4f} to {high:.4f}), macro F1 {f1:.4f}, {figures['images']} images"


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


def slices(index: pd.DataFrame, dark_below: float, light_from: float) -> dict[str, np.ndarray]:
    """Parts of a split, bool [N] each: gray or colour by content; dark, medium or light by mean luminance, 0..255."""
    gray, mean = index["gray"].to_numpy(bool), index["mean"].to_numpy()
    dark, light = mean < dark_below, mean >= light_from
    return {"gray": gray, "colour": ~gray, "dark": dark, "medium": ~dark & ~light, "light": light}


def headline(figures: dict[str, Any]) -> dict[str, float]:
    """The figures of a split that DVC and MLflow compare, flat."""
    found = figures["calibration"]
    answers = found["answers"]
    return {
        "images": figures["images"],
        **figures["scores"],
        **{f"{name}_low": low for name, (low, _) in figures["intervals"].items()},
        **{f"{name}_high": high for name, (_, high) in figures["intervals"].items()},
        **{f"accuracy_{name}": figure["scores"]["accuracy"] for name, figure in figures["slices"].items()},
        "nll": found["nll"]["before"],
        "nll_calibrated": found["nll"]["after"],
        "ece": found["ece"]["before"],
        "ece_calibrated": found["ece"]["after"],
        "risk_coverage_area": found["risk_coverage_area"],
        **{f"answers_{key}": answers[key] for key in ("coverage", "precision") if key in answers},
    }


def _table(name: str, split: Split, probabilities: np.ndarray) -> pd.DataFrame:
    table = split.index[["id", "label", "gray"]].reset_index(drop=True)
    table.insert(0, "split", name)
    return pd.concat([table, pd.DataFrame(probabilities, columns=list(LABELS))], axis=1)


def _plots(
    figures: dict, labels: np.ndarray, probabilities: np.ndarray, learned: Calibration, title: str
) -> dict[str, Figure]:
    """The plots of a split by name."""
    curve = calibration.risk_coverage(labels, calibrated(probabilities, learned.temperature))
    return {
        "confusion": run_plots.confusion(np.array(figures["confusion"]), title),
        "classification": run_plots.classification(figures["per_class"], title),
        "roc": run_plots.roc(labels, probabilities, title),
        "reliability": run_plots.reliability(figures["calibration"], learned.temperature, title),
        "risk_coverage": run_plots.risk_coverage(curve, learned.threshold, title),
    }


if __name__ == "__main__":
    cli.run("evaluate")

"""The run that is exported: what training and evaluation left of it, in its folder or in MLflow."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.reporting.predictions import PREDICTIONS, artifact
from pipeline.running.errors import UserError
from pipeline.running.outputs import read_json, read_table
from pipeline.running.tracking import Store

log = logging.getLogger(__name__)

MODEL = "train/model.keras"
ABOUT = "train/run.json"
CONFIG = "train/config.yaml"
REPORT = "evaluate/report.json"


@dataclass(frozen=True)
class EvaluatedRun:
    """A finished run that was evaluated: its model's file, and what its other files say."""

    model: Path
    about: dict[str, Any]
    config: DictConfig
    report: dict[str, Any]
    predictions: pd.DataFrame


def from_folder(folder: Path) -> EvaluatedRun:
    """The run in `folder`; UserError naming the file it lacks."""
    run = _read(lambda name: folder / name if (folder / name).is_file() else None)
    if isinstance(run, str):
        step = "train" if run.startswith("train") else f"evaluate run={folder}"
        raise UserError(f"run={folder}: no {run} there; expected an evaluated run, see python -m pipeline.{step}")
    return run


def best_ranked(reports: Path, study: str, store: Store) -> EvaluatedRun:
    """The first run of the ranking in `reports` that was evaluated, from MLflow, where each run's files are.

    Not from runs/: what ranks first may have been trained there before something else was, or in a sweep. UserError
    when there is no ranking, when it is of another study, or when no run of it was evaluated.
    """
    ranking = reports / "ranking.csv"
    again = f"run python -m pipeline.rank study={study} first"
    table = read_table(ranking, f"{again}, or name a run: run=<folder>")
    ranked = read_json(reports / "ranking.json", again)["study"]
    if ranked != study:
        raise UserError(f"{ranking}: is of {ranked}, but {study} was asked for; {again}")
    for rank, name, run_id in zip(table["rank"], table["run"], table["run_id"], strict=True):
        run = _read(lambda file, run_id=run_id: artifact(store, run_id, file))
        if not isinstance(run, str):
            return run
        log.warning("rank %d, %s: MLflow has no %s of run %s; evaluate it to export it", rank, name, run, run_id)
    raise UserError(f"{ranking}: no run of it was evaluated; run python -m pipeline.evaluate run=<folder> on the best")


def _read(file: Callable[[str], Path | None]) -> EvaluatedRun | str:
    """The run whose files `file` finds by name, or what it lacks."""
    files = {name: file(name) for name in (MODEL, ABOUT, CONFIG, REPORT, PREDICTIONS)}
    for name, path in files.items():
        if path is None:
            return name
    train, evaluate = "train the run again, and evaluate it", "run python -m pipeline.evaluate run=<its folder> again"
    report = read_json(files[REPORT], evaluate)
    if "calibration" not in report:  # evaluated before there was one
        return f"calibration in {REPORT}"
    return EvaluatedRun(
        files[MODEL],
        read_json(files[ABOUT], train),
        OmegaConf.load(files[CONFIG]),
        report,
        read_table(files[PREDICTIONS], evaluate),
    )

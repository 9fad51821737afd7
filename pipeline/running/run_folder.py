"""A finished run's files, by paths that are the same in its folder and in MLflow, and what stands in them.

The first part of a path is the folder that a step writes as a whole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.running.errors import UserError
from pipeline.running.files import exists
from pipeline.running.outputs import read_json, read_table, readable

MODEL = "train/model.keras"
ABOUT = "train/run.json"
CONFIG = "train/config.yaml"
HISTORY = "train/history.csv"
REPORT = "evaluate/report.json"
PREDICTIONS = "evaluate/predictions.parquet"

TRAIN = "train it again with python -m pipeline.train"


@dataclass(frozen=True)
class TrainedRun:
    """A finished training in `folder`: its name, data, ids and digests are in `about`, its values in `config`."""

    folder: Path
    about: dict[str, Any]
    config: DictConfig

    @property
    def model(self) -> Path:
        """The file of its Keras model."""
        return self.folder / MODEL

    def history(self) -> pd.DataFrame:
        """Its figures by epoch; UserError when they are gone or damaged."""
        return read_table(self.folder / HISTORY, TRAIN)


@dataclass(frozen=True)
class EvaluatedRun(TrainedRun):
    """One that was evaluated as well: `report` has its figures on valid and test; `again` says what makes them anew."""

    report: dict[str, Any]
    again: str

    def predictions(self) -> pd.DataFrame:
        """What it said of each image of valid and test; UserError when that is gone or damaged."""
        return read_table(self.folder / PREDICTIONS, self.again)


def trained(folder: Path) -> TrainedRun:
    """The run in `folder`; UserError naming the file that is not there or damaged."""
    if not exists(folder / ABOUT):
        raise UserError(
            f"run={folder}: no finished training there; expected {folder}/train, which pipeline.train writes"
        )
    about = read_json(folder / ABOUT, TRAIN)
    with readable(folder / CONFIG, TRAIN):
        return TrainedRun(folder, about, OmegaConf.load(folder / CONFIG))


def evaluated(folder: Path, known_as: str = "") -> EvaluatedRun:
    """The run in `folder`; UserError when a file is not there or damaged, or its evaluation is not of its training.

    `known_as` is what to call the folder where it is a copy that the user does not know of.
    """
    run = trained(folder)
    again = f"run: python -m pipeline.evaluate run={known_as or folder}"
    report = read_json(folder / REPORT, again)
    if report["run_id"] != run.about["run_id"]:
        raise UserError(f"{folder}: its evaluation is of another training than it holds now; {again}")
    if not any("recall_interval" in row for row in report["test"]["per_class"].values()):
        raise UserError(f"{folder}: its evaluation is an older one and lacks figures; {again}")
    return EvaluatedRun(run.folder, run.about, run.config, report, again)

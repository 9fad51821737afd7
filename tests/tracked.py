"""What a training notes of a run in MLflow, as far as ranking and comparing read it, and runs made up of it."""

import pandas as pd
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

from pipeline.reporting import ranking

# Parameters and tags of a run; a test says on top of them what is its own.
PARAMS = {
    "model.name": "m",
    "optimizer.name": "sgd",
    "channels.name": "rgb",
    "batch_size": "8",
    "data.name": "sample",
    "augment.name": "study",
    "balance.name": "none",
    "epochs": "2",
    "seed": "0",
}
TAGS = {
    "config_hash": "c0ffee",
    "train_digest": "t",
    "valid_digest": "v",
    "valid_set": "v",
    "train_images": "70",
    "valid_images": "70",
    "image_size": "48",
    "parameters": "14261319",
    "command": "python -m pipeline.train ...",
}


def tags(point: str, valid: str = "v") -> dict[str, str]:
    """Tags of a run that is a point of its own, validated on these images."""
    return TAGS | {"config_hash": point, "valid_set": valid, "valid_digest": valid}


def finished(name: str, accuracy: float, ended: int = 0, point: str = "", valid: str = "v", **params: str) -> Run:
    """A FINISHED run whose accuracy on valid was highest in epoch 7 and 0.01 in the end."""
    metrics = {"val_accuracy": 0.01, "best_val_accuracy": accuracy, "best_epoch": 7}
    params = PARAMS | {"model.build": point or name} | params
    data = RunData(
        [Metric(key, value, 0, 0) for key, value in metrics.items()],
        [Param(*item) for item in params.items()],
        [RunTag(*item) for item in tags(point or name, valid).items()],
    )
    return Run(RunInfo(name, "1", "user", "FINISHED", 0, ended, "active", run_name=name), data)


def table_of(*runs: Run) -> tuple[pd.DataFrame, int]:
    """Their ranking, and how many were left out."""
    return ranking.ranked([ranking.row(run) for run in runs])


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """A ranking with what tells entries from the best, without predictions."""
    return ranking.beside_best(table, lambda run_id: None, 0.95)


def named(run: Run, name: str) -> Run:
    """The same run under another name."""
    run.info._run_name = name
    return run

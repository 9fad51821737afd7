"""The published runs for tests: history files rebuilt from the figures carried over in docs/published_runs.csv."""

import json
from pathlib import Path

import pandas as pd

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "published_runs.csv"


def figures() -> pd.DataFrame:
    return pd.read_csv(FIGURES)


def file_name(run) -> str:
    return f"{run.model}_{run.optimizer}_{run.channels}_{run.batch_size}_{run.data}_history.json"


def history(run) -> dict[str, list[float]]:
    """A history with the run's figures: val_accuracy climbs to its best in its best epoch and falls after it."""
    epochs = range(1, run.epochs + 1)
    away = [abs(epoch - run.best_epoch) for epoch in epochs]
    return {
        "loss": [run.min_loss + 0.01 * (run.epochs - epoch) for epoch in epochs],
        "accuracy": [run.max_accuracy * epoch / run.epochs for epoch in epochs],
        "val_loss": [run.val_loss_at_best + 0.01 * distance for distance in away],
        "val_accuracy": [run.best_val_accuracy * (1 - 0.002 * distance) for distance in away],
    }


def write_histories(folder: Path, some: pd.DataFrame | None = None) -> Path:
    """Write one file for each of the runs, all 98 of them when none are named."""
    folder.mkdir(parents=True, exist_ok=True)
    for run in (figures() if some is None else some).itertuples():
        (folder / file_name(run)).write_text(json.dumps(history(run)))
    return folder

"""What evaluation left in MLflow for a run: its predictions, image by image, and its other files."""

import tempfile
from functools import cache
from pathlib import Path

import pandas as pd

from pipeline.labels import LABELS
from pipeline.running.outputs import read_table
from pipeline.running.run_folder import PREDICTIONS
from pipeline.running.tracking import Store


def artifact(store: Store, run_id: str, path: str) -> Path | None:
    """A copy of a run's file that is there until this process ends, in a folder like the run's; None without one."""
    into = Path(_copies().name, run_id, path).parent
    into.mkdir(parents=True, exist_ok=True)
    return store.fetch(run_id, path, into)


@cache
def _copies() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="runs-")  # MLflow's own folders are never removed


def valid(store: Store, run_id: str) -> pd.DataFrame | None:
    """Predictions on valid, a row per image: id (the index), label 0..6, gray, and a probability per emotion.

    Rows of test are left in the file: what they hold must not reach a choice between runs. None when the run was not
    evaluated.
    """
    file = artifact(store, run_id, PREDICTIONS)
    if file is None:
        return None
    again = "run python -m pipeline.evaluate run=<its folder> again"
    table = read_table(file, again, filters=[("split", "==", "valid")])
    return table.drop(columns="split").set_index("id").sort_index()


def correct(store: Store, run_id: str) -> pd.Series | None:
    """Which images of valid, by id, the run got right (bool); None when it was not evaluated."""
    table = valid(store, run_id)
    return None if table is None else table[list(LABELS)].to_numpy().argmax(1) == table["label"]

"""Reads the per-epoch history of many runs from MLflow."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import make_url

from pipeline.running import database
from pipeline.running.tracking import Store

MEASURES = ("accuracy", "loss", "val_accuracy", "val_loss", "epoch_cpu_seconds")
AT_ONCE = 500  # runs per query; SQLite limits the number of values in one


def read(store: Store, run_ids: Sequence[str], measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """A row per run and epoch: run_id, epoch (from 1), and the measures; NaN for what a run did not log.

    A value that was logged twice, as after a resume, counts once: the later one.
    """
    uri = store.client.tracking_uri
    rows = _from_file(uri, run_ids, measures) if uri.startswith("sqlite:") else _from_server(store, run_ids, measures)
    table = pd.DataFrame(rows, columns=["run_id", "measure", "epoch", "value", "logged"])
    table = table.sort_values("logged", kind="stable").drop_duplicates(["run_id", "measure", "epoch"], keep="last")
    wide = table.pivot(index=["run_id", "epoch"], columns="measure", values="value")
    return wide.reindex(columns=list(measures)).rename_axis(columns=None).reset_index()


def _from_server(store: Store, run_ids: Iterable[str], measures: Sequence[str]) -> list[tuple]:
    with store.asked():
        return [
            (run_id, measure, metric.step, metric.value, metric.timestamp)
            for run_id in run_ids
            for measure in measures
            for metric in store.client.get_metric_history(run_id, measure)
        ]


def _from_file(uri: str, run_ids: Sequence[str], measures: Sequence[str]) -> list[tuple]:
    """What `_from_server` gives, by one query for many runs.

    MLflow's client asks for one measure of one run at a time, 8 ms each: half a minute for 1,000 runs, against one
    second here. The table's columns have been these since MLflow 1.0; a test compares both ways.
    """
    marks = ", ".join("?" * len(measures))
    rows: list[tuple] = []
    file = Path(make_url(uri).database).resolve()
    read_only = f"{file.as_uri()}?mode=ro"
    with (
        database.kept(file),
        closing(sqlite3.connect(read_only, uri=True, timeout=database.SQLITE_WAIT)) as connection,
    ):
        for start in range(0, len(run_ids), AT_ONCE):
            some = run_ids[start : start + AT_ONCE]
            rows += connection.execute(
                "select run_uuid, key, step, case when is_nan then null else value end, timestamp from metrics "
                f"where key in ({marks}) and run_uuid in ({', '.join('?' * len(some))})",
                [*measures, *some],
            ).fetchall()
    return [(run_id, key, step, np.nan if value is None else value, at) for run_id, key, step, value, at in rows]

"""The run that is exported where none is named: the first of the ranking that was evaluated."""

import logging
from pathlib import Path

from pipeline.reporting.predictions import artifact
from pipeline.running import run_folder
from pipeline.running.errors import UserError
from pipeline.running.outputs import read_json, read_table
from pipeline.running.run_folder import EvaluatedRun
from pipeline.running.tracking import Store

log = logging.getLogger(__name__)

NEEDED = (run_folder.MODEL, run_folder.ABOUT, run_folder.CONFIG, run_folder.REPORT, run_folder.PREDICTIONS)


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
        copies = [artifact(store, run_id, file) for file in NEEDED]
        if None not in copies:
            return run_folder.evaluated(copies[0].parents[1], known_as="<its folder>")
        lacks = NEEDED[copies.index(None)]
        log.warning("rank %d, %s: MLflow has no %s of run %s; evaluate it to export it", rank, name, lacks, run_id)
    raise UserError(f"{ranking}: no run of it was evaluated; run python -m pipeline.evaluate run=<folder> on the best")

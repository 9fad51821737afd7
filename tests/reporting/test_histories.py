import sqlite3
from contextlib import closing

import numpy as np
import pytest

from pipeline.reporting import histories
from pipeline.running import database, tracking
from pipeline.running.errors import UserError


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracking.open_store(tmp_path / "a folder", "sample", create=True)


def run(store, *epochs: dict) -> str:
    run_id = store.start("run", {}, {})
    for epoch, metrics in enumerate(epochs, 1):
        store.log_metrics(run_id, metrics, epoch)
    return run_id


def test_the_file_and_the_server_tell_the_same(store, monkeypatch):
    first = run(store, {"loss": 2.0, "val_accuracy": 0.1}, {"loss": float("nan"), "val_accuracy": 0.3})
    second = run(store, {"val_accuracy": 0.5, "other": 1.0})
    from_file = histories.read(store, [first, second])
    monkeypatch.setattr(histories, "_from_file", lambda uri, *rest: histories._from_server(store, *rest))
    from_server = histories.read(store, [first, second])
    assert from_file.equals(from_server)
    table = from_file.set_index(["run_id", "epoch"])
    assert table.columns.tolist() == list(histories.MEASURES)
    assert table.loc[(first, 1), "loss"] == 2.0 and np.isnan(table.loc[(first, 2), "loss"])
    assert table.loc[(second, 1), "val_accuracy"] == 0.5 and np.isnan(table.loc[(second, 1), "val_loss"])


def test_an_epoch_logged_again_after_a_resume_counts_once(store):
    run_id = run(store, {"loss": 2.0})
    store.log_metrics(run_id, {"loss": 1.5}, 1)
    table = histories.read(store, [run_id])
    assert table["loss"].tolist() == [1.5]


def test_no_run_and_more_runs_than_one_query_takes(store, monkeypatch):
    assert histories.read(store, []).empty
    monkeypatch.setattr(histories, "AT_ONCE", 2)
    ids = [run(store, {"loss": float(number)}) for number in range(5)]
    table = histories.read(store, ids).set_index("run_id")
    assert [table.loc[each, "loss"] for each in ids] == [0, 1, 2, 3, 4]


def test_row_27_a_database_that_stays_locked_is_one_line(store, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "SQLITE_WAIT", 0.1)
    with closing(sqlite3.connect(tmp_path / "a folder/mlflow.db")) as other:
        other.execute("begin exclusive")
        with pytest.raises(UserError, match=r"mlflow\.db: another process holds it; end that and run"):
            histories.read(store, ["a"])

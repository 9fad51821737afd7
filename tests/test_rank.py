"""The ranking as it is written and shown: what counts, what is left out and what is said of it."""

import json
import re

import pandas as pd
import pytest
from conftest import composed
from tracked import PARAMS, beside, finished, named, table_of, tags

from pipeline import compare, rank
from pipeline.running import tracking
from pipeline.running.errors import UserError


def test_a_run_that_something_else_logged_is_left_out_and_counted(project, caplog):
    caplog.set_level("INFO")
    store = tracking.open_store("mlruns", "sample", create=True)
    params = {"optimizer.build.learning_rate": "0.1"} | PARAMS
    own = store.start("own", params, tags("point"))
    history = [{"epoch": 1, "val_accuracy": 0.5, "accuracy": 0.5, "loss": 1.0, "val_loss": 1.0, "learning_rate": 0.1}]
    store.log_history(own, history)
    store.log_metrics(own, {"best_val_accuracy": 0.5, "best_epoch": 1, "val_loss_at_best": 1.0})
    foreign = store.start("foreign", {"alpha": 1}, {})
    for run_id in (own, foreign):
        store.end(run_id, "FINISHED")
    for step in (rank, compare):
        caplog.clear()
        step.main(composed(step.__name__.rpartition(".")[2]))
        assert "1 finished runs without the tag config_hash" in caplog.text
    assert pd.read_csv("reports/ranking.csv")["run"].tolist() == ["own"]
    assert pd.read_csv("reports/tables/per_run.csv")["run"].tolist() == ["own"]


def test_runs_validated_on_other_images_than_the_newest_are_left_out_and_counted():
    runs = [
        finished("few", 0.75, ended=1, valid="135 of one class"),
        finished("a", 0.5, ended=2),
        finished("b", 0.6, ended=3),
    ]
    table, left_out = table_of(*runs)
    assert table["run"].tolist() == ["b", "a"]
    assert left_out == 1
    assert "1 finished runs were validated on other images" in rank.page(beside(table), 10, 5, left_out)


def test_the_page_names_entries_by_what_differs():
    rate = "optimizer.build.learning_rate"
    runs = [named(finished(each, 0.5, **{"model.build": "m", rate: each}), "m_sgd") for each in ("0.1", "0.01")]
    assert "m_sgd, learning_rate=0.01" in rank.page(beside(table_of(*runs)[0]), 10, 5, 0)


def test_the_page_shows_top_and_bottom_without_showing_a_run_twice():
    table = beside(table_of(*(finished(f"run_{n:02}", n / 100) for n in range(1, 13)))[0])
    names = [f"run_{n:02}" for n in range(12, 0, -1)]
    for top, bottom, shown in ((10, 5, names), (3, 5, names[:3] + names[-5:]), (20, 5, names)):
        page = rank.page(table, top, bottom, 0)
        assert re.findall(r"run_\d+(?= )", page) == shown
    assert "Bottom" not in rank.page(table, 12, 5, 0) and "Bottom" not in rank.page(table, 3, 0, 0)
    assert "Top 12 of 12" in rank.page(table, 20, 5, 0)
    assert "mean 0.0650  median 0.0650  max 0.1200  min 0.0100" in rank.page(table, 10, 5, 0)


def test_only_finished_runs_are_ranked_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cfg = composed("rank", f"paths.tracking={tmp_path / 'mlruns'}", f"paths.reports={tmp_path / 'reports'}")
    store = tracking.open_store(tmp_path / "mlruns", "sample", create=True)
    with pytest.raises(UserError, match=r"study=sample: no finished run to rank in .*mlruns; train one first"):
        rank.main(cfg)
    assert not (tmp_path / "reports").exists()
    for name, best, last, status in (
        ("peaked", 0.9, 0.4, "FINISHED"),
        ("steady", 0.7, 0.7, "FINISHED"),
        ("crashed", 0.99, 0.99, "FAILED"),
        ("killed", 0.98, 0.98, "KILLED"),
        ("running", 0.97, 0.97, None),
    ):
        run = store.start(name, PARAMS | {"model.build": name}, tags(name))
        store.log_metrics(run, {"val_accuracy": best}, 1)
        store.log_metrics(run, {"val_accuracy": last}, 2)
        store.log_metrics(run, {"best_val_accuracy": best, "best_epoch": 1})
        if status:
            store.end(run, status)
    rank.main(cfg)
    table = pd.read_csv(tmp_path / "reports/ranking.csv")
    assert list(table[["rank", "run", "best_val_accuracy"]].itertuples(index=False, name=None)) == [
        (1, "peaked", 0.9),
        (2, "steady", 0.7),
    ]
    assert json.loads((tmp_path / "reports/ranking.json").read_text())["best_run"] == "peaked"
    assert "Top 2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize("other", [{}, {"epochs": "20"}, {"monitor": "val_loss"}])
def test_it_is_said_when_valid_chose_the_epochs_of_some_in_another_way(other):
    table, _ = table_of(finished("a", 0.6), finished("b", 0.5, **other))
    table = beside(table)
    assert ("had more tries at a high figure" in rank.page(table, 10, 5, 0)) == bool(other)

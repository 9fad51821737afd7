"""The ranking: by the best accuracy on valid of finished runs, on the same images, each point once."""

import json
import re

import pandas as pd
import pytest
from conftest import TINY, composed
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag
from tracked import PARAMS, TAGS

from pipeline import compare, rank, train
from pipeline.running import tracking
from pipeline.running.errors import UserError


def tags(point, valid="v"):
    return TAGS | {"config_hash": point, "valid_set": valid, "valid_digest": valid}


def finished(name, accuracy, ended=0, point=None, valid="v", **params):
    """A FINISHED run whose accuracy on valid was highest in epoch 7 and 0.01 in the end."""
    metrics = {"val_accuracy": 0.01, "best_val_accuracy": accuracy, "best_epoch": 7}
    params = PARAMS | {"model.build": point or name} | params
    data = RunData(
        [Metric(key, value, 0, 0) for key, value in metrics.items()],
        [Param(*item) for item in params.items()],
        [RunTag(*item) for item in tags(point or name, valid).items()],
    )
    return Run(RunInfo(name, "1", "user", "FINISHED", 0, ended, "active", run_name=name), data)


def ranking(*runs):
    return rank.ranking([rank.row(run) for run in runs])


def beside(table):
    """A ranking with what tells entries from the best, without predictions."""
    return rank.beside_best(table, lambda run_id: None, 0.95)


def ranked(*runs):
    return dict(ranking(*runs)[0][["run", "rank"]].itertuples(index=False))


def test_the_best_is_first():
    table, left_out = ranking(finished("a", 0.4), finished("b", 0.6), finished("c", 0.5))
    assert table["run"].tolist() == ["b", "c", "a"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert left_out == 0


def test_ties_share_a_rank_and_stand_by_name():
    assert list(ranked(finished("d", 0.2), finished("c", 0.5), finished("b", 0.5), finished("a", 0.9)).items()) == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
        ("d", 4),
    ]


def test_of_equal_runs_the_newest_counts_even_if_it_is_worse():
    runs = [
        finished("old", 0.9, ended=1, point="p"),
        finished("new", 0.5, ended=2, point="p"),
        finished("other", 0.7, ended=1),
    ]
    assert ranked(*runs) == ranked(*reversed(runs)) == {"other": 1, "new": 2}


def test_runs_from_the_same_path_with_other_weights_are_not_the_same_run(project):
    for seed in (1, 2):
        train.main(composed("train", *TINY, "epochs=1", f"seed={seed}", "output=first"))
        train.main(composed("train", *TINY, "epochs=1", "initial_weights=first", "teacher=first", "output=then"))
    runs = tracking.open_store("mlruns", "sample", create=False).finished({})
    table, _ = rank.ranking([rank.row(run) for run in runs])
    assert sorted(table["seeds"]) == [1, 1, 2]
    # what train tells equal runs by
    of = {tag for tag in runs[0].data.tags if tag.endswith(("_digest", "_hash"))}
    assert of == set(tracking.TRAINING_OF) - {"own_code_digest"}  # it is the project's own


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


@pytest.mark.parametrize(("tag", "value"), (("command", None), ("parameters", "many")))
def test_a_run_whose_tags_were_changed_is_named(tag, value):
    run = finished("a", 0.4)
    run.data.tags.pop(tag)
    if value:
        run.data.tags[tag] = value
    with pytest.raises(
        UserError,
        match=r"MLflow run a \(a\): (its 'command'|a number of it \(.*many.*\)) is not as the training noted it",
    ):
        rank.row(run)


def test_runs_validated_on_other_images_than_the_newest_are_left_out_and_counted():
    runs = [
        finished("few", 0.75, ended=1, valid="135 of one class"),
        finished("a", 0.5, ended=2),
        finished("b", 0.6, ended=3),
    ]
    table, left_out = ranking(*runs)
    assert table["run"].tolist() == ["b", "a"]
    assert left_out == 1
    assert "1 finished runs were validated on other images" in rank.page(beside(table), 10, 5, left_out)


def test_runs_that_differ_in_the_seed_alone_are_one_entry_with_their_mean():
    runs = [
        finished("seed_0", 0.4, point="p0", **{"model.build": "same", "seed": "0"}),
        finished("seed_1", 0.8, point="p1", **{"model.build": "same", "seed": "1"}),
        finished("other", 0.7),
    ]
    table, _ = ranking(*runs)
    assert table["run"].tolist() == ["other", "seed_1"]
    assert table["best_val_accuracy"].tolist() == pytest.approx([0.7, 0.6])
    assert table["seeds"].tolist() == [1, 2]


def labels(*runs):
    return dict(ranking(*runs)[0][["run_id", "label"]].itertuples(index=False))


def named(run, name):
    run.info._run_name = name
    return run


def test_entries_of_one_name_show_what_differs():
    rate = "optimizer.build.learning_rate"
    runs = [named(finished(each, 0.5, **{"model.build": "m", rate: each}), "m_sgd") for each in ("0.1", "0.01")]
    found = labels(*runs, named(finished("alone", 0.6), "alone"))
    assert found == {"0.1": "m_sgd, learning_rate=0.1", "0.01": "m_sgd, learning_rate=0.01", "alone": "alone"}
    page = rank.page(beside(ranking(*runs)[0]), 10, 5, 0)
    assert "m_sgd, learning_rate=0.01" in page


def test_entries_of_one_name_that_differ_in_much_bear_the_name_of_their_folder():
    runs = [named(finished(each, 0.5, point=each, layers=each * 9), "m_sgd") for each in ("abcdef0123", "123456789a")]
    assert labels(*runs) == {"abcdef0123": "m_sgd-abcdef01", "123456789a": "m_sgd-12345678"}


def test_entries_of_one_config_bear_their_runs():
    runs = [named(finished(each, 0.5, point="same"), "m_sgd") for each in ("abcdef0123", "123456789a")]
    runs[0].data._tags["teacher_digest"] = "other weights"
    assert labels(*runs) == {"abcdef0123": "m_sgd, run abcdef01", "123456789a": "m_sgd, run 12345678"}


def test_no_runs_are_an_empty_ranking():
    table, left_out = rank.ranking([])
    assert table.empty
    assert left_out == 0


def test_the_best_value_counts_and_not_the_last():
    found = rank.row(finished("m_sgd_rgb_128", 0.9))
    assert (found["best_val_accuracy"], found["best_epoch"]) == (0.9, 7)
    assert (found["run"], found["batch_size"], found["parameters"]) == ("m_sgd_rgb_128", 8, 14_261_319)


def test_statistics_are_over_all_runs():
    table, _ = ranking(finished("a", 0.1), finished("b", 0.2), finished("c", 0.6), finished("d", 0.9))
    assert rank.statistics(table) == pytest.approx(
        {"runs": 4, "best_run": "d", "mean": 0.45, "median": 0.4, "max": 0.9, "min": 0.1}
    )


def test_the_page_shows_top_and_bottom_without_showing_a_run_twice():
    table = beside(ranking(*(finished(f"run_{n:02}", n / 100) for n in range(1, 13)))[0])
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
    table, _ = ranking(finished("a", 0.6), finished("b", 0.5, **other))
    table = beside(table)
    assert ("had more tries at a high figure" in rank.page(table, 10, 5, 0)) == bool(other)


@pytest.mark.parametrize(("confidence", "tied"), [(0.95, False), (0.99, True)])
def test_what_is_tied_with_the_best_depends_on_the_confidence(monkeypatch, confidence, tied):
    monkeypatch.setattr(rank.compare.Difference, "p_value", 0.03)
    table = rank.beside_best(ranking(finished("a", 0.6), finished("b", 0.5))[0], lambda run_id: None, confidence)
    assert table["p_value"].tolist() == [1, 0.03]
    assert table["tied_with_best"].tolist() == [True, tied]

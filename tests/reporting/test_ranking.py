"""Which runs are ranked: by the best accuracy on valid, on the same images, each point once."""

import pytest
from conftest import TINY, composed
from tracked import finished, named, table_of

from pipeline import train
from pipeline.reporting import compare, ranking
from pipeline.running import tracking
from pipeline.running.errors import UserError


def ranks(*runs):
    return dict(table_of(*runs)[0][["run", "rank"]].itertuples(index=False))


def test_the_best_is_first():
    table, left_out = table_of(finished("a", 0.4), finished("b", 0.6), finished("c", 0.5))
    assert table["run"].tolist() == ["b", "c", "a"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert left_out == 0


def test_ties_share_a_rank_and_stand_by_name():
    assert list(ranks(finished("d", 0.2), finished("c", 0.5), finished("b", 0.5), finished("a", 0.9)).items()) == [
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
    assert ranks(*runs) == ranks(*reversed(runs)) == {"other": 1, "new": 2}


def test_runs_from_the_same_path_with_other_weights_are_not_the_same_run(project):
    for seed in (1, 2):
        train.main(composed("train", *TINY, "epochs=1", f"seed={seed}", "output=first"))
        train.main(composed("train", *TINY, "epochs=1", "initial_weights=first", "teacher=first", "output=then"))
    runs = tracking.open_store("mlruns", "sample", create=False).finished({})
    table, _ = ranking.ranked([ranking.row(run) for run in runs])
    assert sorted(table["seeds"]) == [1, 1, 2]
    # what train tells equal runs by
    of = {tag for tag in runs[0].data.tags if tag.endswith(("_digest", "_hash"))}
    assert of == set(tracking.TRAINING_OF) - {"own_code_digest"}  # it is the project's own


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
        ranking.row(run)


def test_runs_that_differ_in_the_seed_alone_are_one_entry_with_their_mean():
    runs = [
        finished("seed_0", 0.4, point="p0", **{"model.build": "same", "seed": "0"}),
        finished("seed_1", 0.8, point="p1", **{"model.build": "same", "seed": "1"}),
        finished("other", 0.7),
    ]
    table, _ = table_of(*runs)
    assert table["run"].tolist() == ["other", "seed_1"]
    assert table["best_val_accuracy"].tolist() == pytest.approx([0.7, 0.6])
    assert table["seeds"].tolist() == [1, 2]


def labels(*runs):
    return dict(table_of(*runs)[0][["run_id", "label"]].itertuples(index=False))


def test_entries_of_one_name_show_what_differs():
    rate = "optimizer.build.learning_rate"
    runs = [named(finished(each, 0.5, **{"model.build": "m", rate: each}), "m_sgd") for each in ("0.1", "0.01")]
    found = labels(*runs, named(finished("alone", 0.6), "alone"))
    assert found == {"0.1": "m_sgd, learning_rate=0.1", "0.01": "m_sgd, learning_rate=0.01", "alone": "alone"}


def test_entries_of_one_name_that_differ_in_much_bear_the_name_of_their_folder():
    runs = [named(finished(each, 0.5, point=each, layers=each * 9), "m_sgd") for each in ("abcdef0123", "123456789a")]
    assert labels(*runs) == {"abcdef0123": "m_sgd-abcdef01", "123456789a": "m_sgd-12345678"}


def test_entries_of_one_config_bear_their_runs():
    runs = [named(finished(each, 0.5, point="same"), "m_sgd") for each in ("abcdef0123", "123456789a")]
    runs[0].data._tags["teacher_digest"] = "other weights"
    assert labels(*runs) == {"abcdef0123": "m_sgd, run abcdef01", "123456789a": "m_sgd, run 12345678"}


def test_no_runs_are_an_empty_ranking():
    table, left_out = ranking.ranked([])
    assert table.empty
    assert left_out == 0


def test_the_best_value_counts_and_not_the_last():
    found = ranking.row(finished("m_sgd_rgb_128", 0.9))
    assert (found["best_val_accuracy"], found["best_epoch"]) == (0.9, 7)
    assert (found["run"], found["batch_size"], found["parameters"]) == ("m_sgd_rgb_128", 8, 14_261_319)


def test_statistics_are_over_all_runs():
    table, _ = table_of(finished("a", 0.1), finished("b", 0.2), finished("c", 0.6), finished("d", 0.9))
    assert ranking.statistics(table) == pytest.approx(
        {"runs": 4, "best_run": "d", "mean": 0.45, "median": 0.4, "max": 0.9, "min": 0.1}
    )


@pytest.mark.parametrize(("confidence", "tied"), [(0.95, False), (0.99, True)])
def test_what_is_tied_with_the_best_depends_on_the_confidence(monkeypatch, confidence, tied):
    monkeypatch.setattr(compare.Difference, "p_value", 0.03)
    table = ranking.beside_best(table_of(finished("a", 0.6), finished("b", 0.5))[0], lambda run_id: None, confidence)
    assert table["p_value"].tolist() == [1, 0.03]
    assert table["tied_with_best"].tolist() == [True, tied]

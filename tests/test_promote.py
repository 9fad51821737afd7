"""The champion: the best evaluated run on valid, unless the interval says that it may be worse; test plays no part."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import composed
from tracked import PARAMS, TAGS

from pipeline import promote
from pipeline.labels import LABELS
from pipeline.running import cli, tracking
from pipeline.running.errors import UserError

IMAGES = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of the one database; each test has an experiment of its own in it, since making a database takes seconds."""
    return tmp_path_factory.mktemp("promote")


@pytest.fixture
def store(folder, request, monkeypatch) -> tracking.Store:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracking.open_store("mlruns", request.node.name, create=True)


def study(store) -> str:
    return store.client.get_experiment(store.experiment_id).name


def probabilities(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One-hot answers that are right where `right` is true."""
    return np.eye(len(LABELS))[np.where(right, labels, (labels + 1) % len(LABELS))]


def trained(store, tmp_path, name: str, right: int, first: int = 0, test: float = 0.5, valid: str = "v") -> str:
    """A FINISHED run that got `right` images of valid right, from the number `first` on, and is evaluated.

    `test` is what it claims of test, in its metrics; its predictions there are no numbers at all.
    """
    tags = TAGS | {"config_hash": name, "valid_digest": valid, "valid_set": valid, "valid_images": IMAGES}
    run_id = store.start(name, PARAMS | {"model.name": name}, tags)
    labels, numbers = np.arange(IMAGES) % len(LABELS), np.arange(IMAGES)
    parts = []
    for split in ("valid", "test"):
        said = probabilities((numbers >= first) & (numbers < first + right), labels)
        said = said if split == "valid" else np.full_like(said, np.nan)
        ids = [f"{split}/{number:03}.jpg" for number in numbers]
        table = pd.DataFrame({"split": split, "id": ids, "label": labels.astype(np.int8), "gray": True})
        parts.append(pd.concat([table, pd.DataFrame(said, columns=list(LABELS))], axis=1))
    for room, file in (("train", "model.keras"), ("evaluate", "predictions.parquet")):
        folder = tmp_path / "files" / run_id / room
        folder.mkdir(parents=True)
        if room == "train":
            (folder / file).write_text("never read, never unpickled")
        else:
            pd.concat(parts).to_parquet(folder / file)
        store.log_files(run_id, folder, room)
    store.log_metrics(run_id, {"best_val_accuracy": right / IMAGES, "best_epoch": 1, "valid.accuracy": right / IMAGES})
    store.log_metrics(run_id, {"test.accuracy": test, "test.f1_macro": test})
    store.end(run_id, "FINISHED")
    return run_id


def champion(store) -> tuple[int, str] | None:
    """Version and run of the champion."""
    name = f"facial-emotion-{study(store)}"
    models = store.client.search_registered_models(f"name = '{name}'")
    if not models:
        return None
    version = store.client.get_model_version(name, models[0].aliases["champion"])
    return version.version, version.run_id


def promoted(store, capsys, *overrides: str) -> str:
    """What promote prints."""
    promote.main(composed("promote", f"study={study(store)}", *overrides))
    return capsys.readouterr().out


def test_the_first_champion_is_the_best_and_the_same_command_again_changes_nothing(store, tmp_path, capsys):
    trained(store, tmp_path, "low", 200)
    best = trained(store, tmp_path, "high", 300)
    failed = trained(store, tmp_path, "failed", 399)
    store.client.set_terminated(failed, "FAILED")
    not_evaluated = store.start("new", {"seed": 0}, {})
    store.log_metrics(not_evaluated, {"best_val_accuracy": 0.99, "best_epoch": 1})
    store.end(not_evaluated, "FINISHED")
    said = promoted(store, capsys)
    assert f"The best of 2 evaluated runs: high ({best[:8]}), 75.00% on valid" in said
    assert "version 1, the first one" in said
    assert champion(store) == (1, best)
    name = f"facial-emotion-{study(store)}"
    assert store.client.get_model_version(name, "1").source.endswith(f"{best}/artifacts/train")
    again = promoted(store, capsys)
    assert "already, version 1. Nothing changed." in again
    assert champion(store) == (1, best)
    assert len(store.client.search_model_versions(f"name = '{name}'")) == 1


def test_a_better_run_takes_its_place_with_the_interval_told(store, tmp_path, capsys):
    trained(store, tmp_path, "old", 200)
    promoted(store, capsys)
    better = trained(store, tmp_path, "better", 240)  # 40 images more, none less: 10 points
    said = promoted(store, capsys)
    assert (
        "Against the champion: +10.00 points, 95% interval +6.97 to +12.93 (paired over the same 400 images of valid)"
        in said
    )
    assert "it is not worse" in said
    assert champion(store) == (2, better)


def test_a_tie_leaves_the_champion_and_a_margin_decides_otherwise(store, tmp_path, capsys):
    old = trained(store, tmp_path, "old", 200)
    promoted(store, capsys)
    new = trained(store, tmp_path, "new", 204, first=100)  # two more on balance, 100 gained and 96 lost
    said = promoted(store, capsys)
    assert "+1.00 points" in said and "it may be worse." in said
    assert "Version 1 stays the champion" in said
    assert champion(store) == (1, old)
    assert "it is not worse by more than 10 points." in promoted(store, capsys, "margin=0.1")
    assert champion(store) == (2, new)
    store.client.set_registered_model_alias(f"facial-emotion-{study(store)}", "champion", "1")  # a person sets it back
    promoted(store, capsys, "margin=0.1")
    assert champion(store) == (2, new)  # and no third version of the same run


def test_the_best_of_many_needs_a_longer_lead_than_one_alone(store, tmp_path, capsys):
    old = trained(store, tmp_path, "old", 200)
    promoted(store, capsys)
    new = trained(store, tmp_path, "new", 216, first=12)  # 28 gained and 12 lost
    others = [trained(store, tmp_path, f"other {number}", 190) for number in range(5)]
    said = promoted(store, capsys)
    assert "+4.00 points, 95% interval -0.21 to +8.17" in said, said
    assert "widened because it is the best of 6 that are not the champion): it may be worse." in said
    assert champion(store) == (1, old)
    for other in others:
        store.client.delete_run(other)
    said = promoted(store, capsys)
    assert "widened" not in said and "it is not worse." in said
    assert champion(store) == (2, new)


def test_why_a_runs_figures_may_flatter_is_told_before_it_is_promoted(store, tmp_path, capsys):
    run_id = trained(store, tmp_path, "taught", 150)
    store.tag(run_id, {"caution": "its teacher may have seen valid"})
    assert "\nCaution: its teacher may have seen valid.\n" in promoted(store, capsys)


def test_an_equal_run_does_not_replace_the_champion(store, tmp_path, capsys):
    old = trained(store, tmp_path, "old", 200)
    promoted(store, capsys)
    trained(store, tmp_path, "equal", 200)
    assert "already" in promoted(store, capsys)
    assert champion(store) == (1, old)


def test_a_trial_on_other_images_is_no_first_champion_unless_asked_for(store, tmp_path, capsys):
    best = trained(store, tmp_path, "full", 380)
    trained(store, tmp_path, "second", 300)
    trial = trained(store, tmp_path, "trial", 120, valid="a few")
    refused = rf"study=test_\w+: 2 evaluated runs were validated on other images than trial \({trial[:8]}\), .*; delete"
    with pytest.raises(UserError, match=refused):
        promoted(store, capsys)
    assert champion(store) is None
    said = promoted(store, capsys, "replace=true")
    assert "2 evaluated runs were validated on other images and did not stand." in said
    assert champion(store) == (1, trial)
    store.client.delete_run(trial)
    said = promoted(store, capsys, "replace=true")
    assert champion(store) == (2, best) and "other images" not in said


def test_a_run_that_something_else_logged_does_not_stand_even_with_an_accuracy(store, tmp_path, capsys):
    own = trained(store, tmp_path, "own", 200)
    foreign = store.start("foreign", {}, {})
    store.log_metrics(foreign, {"valid.accuracy": 0.99})
    store.end(foreign, "FINISHED")
    promoted(store, capsys)
    assert champion(store) == (1, own)


def test_a_champion_that_was_registered_without_a_run_is_replaced_only_on_request(store, tmp_path, capsys):
    name = f"facial-emotion-{study(store)}"
    store.client.create_registered_model(name)
    version = store.client.create_model_version(name, str(tmp_path))
    store.client.set_registered_model_alias(name, "champion", version.version)
    new = trained(store, tmp_path, "new", 200)
    with pytest.raises(UserError, match=r"the champion: it has no run in this experiment; replace=true"):
        promoted(store, capsys)
    promoted(store, capsys, "replace=true")
    assert champion(store) == (2, new)


def test_a_champion_of_a_run_that_something_else_logged_is_replaced_only_on_request(store, tmp_path, capsys):
    foreign = store.start("foreign", {}, {})
    store.end(foreign, "FINISHED")
    name = f"facial-emotion-{study(store)}"
    store.client.create_registered_model(name)
    version = store.client.create_model_version(name, str(tmp_path), foreign)
    store.client.set_registered_model_alias(name, "champion", version.version)
    trained(store, tmp_path, "new", 200)
    with pytest.raises(UserError, match=r"its run is not one that this project trained; replace=true"):
        promoted(store, capsys)


class Poisoned(dict):
    """Metrics that cannot be looked at as a whole, nor any of test."""

    def __getitem__(self, key):
        assert not key.startswith("test")
        return super().__getitem__(key)

    def get(self, key, default=None):
        assert not key.startswith("test")
        return super().get(key, default)

    def __iter__(self):
        raise AssertionError("all metrics looked at")

    items = values = keys = __iter__


def test_test_is_never_read(store, tmp_path, capsys, monkeypatch):
    old = trained(store, tmp_path, "old", 200, test=0.99)  # its predictions of test are NaN
    promoted(store, capsys)
    worse_on_test = trained(store, tmp_path, "better", 240, test=0.01)
    trained(store, tmp_path, "lucky", 100, test=1.0)
    finished = tracking.Store.finished
    read = []
    read_parquet = pd.read_parquet

    def poisoned(self, tags):
        runs = finished(self, tags)
        for run in runs:
            run.data._metrics = Poisoned(run.data.metrics)
        return runs

    def watched(*args, **options):
        read.append(read_parquet(*args, **options))
        return read[-1]

    monkeypatch.setattr(tracking.Store, "finished", poisoned)
    monkeypatch.setattr(pd, "read_parquet", watched)
    promoted(store, capsys)
    assert champion(store) == (2, worse_on_test) != (1, old)
    assert len(read) == 2
    for table in read:
        assert set(table["split"]) == {"valid"}


def test_nothing_evaluated_is_said_in_one_line(store, capsys):
    run_id = store.start("a", {"seed": 0}, {})
    store.end(run_id, "FINISHED")
    with pytest.raises(
        UserError, match=r"study=test_\w+: no finished run is evaluated; python -m pipeline\.evaluate run="
    ):
        promoted(store, capsys)
    assert champion(store) is None


def test_a_run_whose_model_file_is_gone_is_refused(store, folder, tmp_path, capsys):
    old = trained(store, tmp_path, "old", 200)
    promoted(store, capsys)
    gone = trained(store, tmp_path, "gone", 300)
    (model,) = (folder / "mlruns").rglob(f"{gone}/artifacts/train/model.keras")
    model.unlink()
    with pytest.raises(
        UserError, match=rf"gone \({gone[:8]}\): .* its train/model.keras is gone from MLflow; train it"
    ):
        promoted(store, capsys)
    assert champion(store) == (1, old)


def test_a_champion_that_cannot_be_compared_is_replaced_only_on_request(store, tmp_path, capsys):
    trained(store, tmp_path, "old", 390, valid="others")
    promoted(store, capsys)
    new = trained(store, tmp_path, "new", 200)
    with pytest.raises(UserError, match=r"validated on other images than new .*; replace=true makes the best run"):
        promoted(store, capsys)
    store.client.delete_run(champion(store)[1])
    with pytest.raises(UserError, match=r"the champion: it has no run in this experiment; replace=true"):
        promoted(store, capsys)
    assert "in place of version 1" in promoted(store, capsys, "replace=true")
    assert champion(store) == (2, new)
    with pytest.raises(UserError, match="registered_model=a/b: expected letters, digits"):
        promoted(store, capsys, "registered_model=a/b")


def test_help_says_what_it_does_and_what_it_can_be_told():
    text = cli.help_page("promote")
    built_on = cli.help_page("audit")  # clean, and the paths
    for expected in ("show: 20", "source: ???", "limit: all", "data=", "reports: reports"):
        assert expected in built_on
    for expected in ("Make the best evaluated run", "Test plays no part", "margin: 0", "replace: false", "data="):
        assert expected in text

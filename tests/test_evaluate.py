"""An evaluation is of the images its run was chosen on, and batch size changes nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import composed, outputs, within, write_arrays

from pipeline import evaluate
from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import read_arrays
from pipeline.reporting import on_split
from pipeline.running.errors import UserError
from pipeline.running.tracking import Store, open_store


@pytest.fixture(scope="module")
def evaluated_once(trained_once, tmp_path_factory) -> Path:
    """A project whose one run is trained and evaluated, for tests that only read."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(trained_once, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        within(folder, patch)
        evaluated()
    return folder


@pytest.fixture
def judged(evaluated_once, monkeypatch) -> Path:
    """Its out/evaluate, from within that project."""
    within(evaluated_once, monkeypatch)
    return Path("out/evaluate")


@pytest.fixture
def trained(trained, monkeypatch) -> Path:
    """That run; its evaluations draw no pictures, which are looked at in `judged`."""
    monkeypatch.setattr(on_split, "plots", lambda *_: {})
    return trained


def evaluated(*overrides: str) -> Path:
    evaluate.main(composed("evaluate", "run=out", *overrides))
    return Path("out/evaluate")


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_what_dvc_takes_it_to_write_is_written(judged, stage):
    for path in outputs(stage):
        assert Path("out", *Path(path).parts[2:]).is_file(), path


def test_figures_are_those_of_the_predictions_and_are_tracked(judged):
    figures = json.loads((judged / "metrics.json").read_text())
    table = pd.read_parquet(judged / "predictions.parquet")
    for name in ("valid", "test"):
        rows = table[table["split"] == name]
        accuracy = (rows[list(LABELS)].to_numpy().argmax(1) == rows["label"]).mean()
        assert figures[name]["accuracy"] == pytest.approx(accuracy)
        assert figures[name]["accuracy_low"] <= accuracy <= figures[name]["accuracy_high"]
    about = json.loads((judged.parent / "train/run.json").read_text())
    assert figures["valid"]["accuracy"] == pytest.approx(about["best_val_accuracy"], abs=1e-6)
    tracked = open_store("mlruns", "sample", create=True).client.get_run(about["run_id"])
    report = json.loads((judged / "report.json").read_text())
    assert (
        tracked.data.tags["test_digest"]
        == report["test_digest"]
        == read_arrays("data/resized/rgb", "sample").digest["test"]
    )
    assert tracked.data.tags["test_set"] == report["test_set"] != tracked.data.tags["valid_set"]
    assert tracked.data.metrics["test.f1_macro"] == pytest.approx(figures["test"]["f1_macro"])
    kinds = sorted(on_split.PLOTS)  # which the page on the runs shows
    assert sorted(file.name for file in judged.glob("*.png")) == [
        "learning_curves.png",
        *(f"{name}_{kind}.png" for name in ("test", "valid") for kind in kinds),
    ]


def test_batch_size_one_gives_the_same_figures(trained):
    for batch_size in (1, 7, 256):
        evaluated(f"batch_size={batch_size}")
        report = json.loads(Path("out/evaluate/report.json").read_text())
        assert report["valid"]["one_by_one"]["images"] == 40
        assert report["valid"]["one_by_one"]["same_emotion"] == 1
        assert report["valid"]["one_by_one"]["max_difference"] < 1e-5
        first = locals().get("first", report["test"]["confusion"])
        assert report["test"]["confusion"] == first


def test_the_probability_column_of_an_emotion_is_that_emotion_by_name(judged):
    """The study showed classes in the order of folder names under the names of its encoding (its error 1)."""
    table = pd.read_parquet(judged / "predictions.parquet")
    rows = table[table["split"] == "valid"]
    images = read_arrays("data/resized/rgb", "sample").split("valid").images
    predicted = models.load("out/train/model.keras").predict(np.asarray(images), verbose=0)
    assert np.allclose(rows["sadness"], predicted[:, 4], atol=1e-5)
    assert rows["id"].str.split("/").str[1].tolist() == [LABELS[label] for label in rows["label"]]


def test_gray_and_colour_are_told_apart(judged):
    report = json.loads((judged / "report.json").read_text())["test"]
    slices = report["slices"]
    assert slices["gray"]["images"] + slices["colour"]["images"] == report["images"] == 40
    total = np.array(slices["gray"]["confusion"]) + np.array(slices["colour"]["confusion"])
    assert total.tolist() == report["confusion"]


def test_dark_medium_and_light_are_parted_by_the_mean_luminance():
    index = pd.DataFrame({"gray": [True, False, False, True], "mean": [84.9, 85.0, 169.9, 170.0]})
    found = {name: rows.tolist() for name, rows in on_split.slices(index, 85, 170).items()}
    assert found == {
        "gray": [True, False, False, True],
        "colour": [False, True, True, False],
        "dark": [True, False, False, False],
        "medium": [False, True, True, False],
        "light": [False, False, False, True],
    }


def test_calibration_is_learnt_from_valid_alone_and_told(trained, caplog):
    caplog.set_level("INFO")
    evaluated("calibration.precision=0.05", "brightness.dark_below=100")
    before, figures = (json.loads(Path(f"out/evaluate/{name}.json").read_text()) for name in ("report", "metrics"))
    assert before["calibration"]["threshold"] == 0
    assert 'never "not sure": on valid its answers are right at least 5% of the time; on test 100.0% ans' in caplog.text
    assert before["test"]["slices"]["dark"]["images"] + before["test"]["slices"]["medium"]["images"] == 40
    assert figures["calibration"]["temperature"] == before["calibration"]["temperature"]
    assert figures["test"]["ece_calibrated"] == before["test"]["calibration"]["ece"]["after"]
    assert figures["test"]["answers_precision"] == before["test"]["calibration"]["answers"]["precision"]

    pixels = np.load("data/resized/rgb/test.npy")
    np.save("data/resized/rgb/test.npy", 255 - pixels[::-1])
    evaluated("calibration.precision=0.999")  # which valid does not bear out
    after, figures = (json.loads(Path(f"out/evaluate/{name}.json").read_text()) for name in ("report", "metrics"))
    assert after["calibration"]["temperature"] == before["calibration"]["temperature"]
    assert after["valid"]["calibration"]["ece"] == before["valid"]["calibration"]["ece"]
    assert after["test"]["calibration"]["ece"] != before["test"]["calibration"]["ece"]
    assert after["calibration"]["threshold"] == 1
    assert after["test"]["calibration"]["answers"]["images"] == figures["test"]["answers_coverage"] == 0
    assert "answers_precision" not in figures["test"]
    assert 'always "not sure"' in caplog.text
    run_id = json.loads((trained / "train/run.json").read_text())["run_id"]
    tracked = open_store("mlruns", "sample", create=True).run(run_id).data.metrics
    assert np.isnan(tracked["test.answers_precision"]), "that of the evaluation before is not its own"
    assert tracked["calibration.temperature"] == pytest.approx(after["calibration"]["temperature"])


def test_other_images_than_it_was_chosen_on_are_refused(trained):
    shutil.rmtree("data/resized/rgb")
    write_arrays(Path("data/resized/rgb"), seed=1)
    with pytest.raises(UserError, match="was trained and chosen on other images"):
        evaluated()


def test_another_test_which_may_hold_images_it_was_trained_on_is_refused(trained):
    about = Path("data/resized/rgb/dataset.json")
    digest = json.loads(about.read_text())["digest"] | {"test": "that of train"}
    about.write_text(json.dumps(json.loads(about.read_text()) | {"digest": digest}))
    for split in ("npy", "parquet"):
        shutil.copy(f"data/resized/rgb/train.{split}", f"data/resized/rgb/test.{split}")
    with pytest.raises(UserError, match="was trained and chosen on other images"):
        evaluated()


def test_arrays_of_other_data_than_the_run_was_trained_on_are_told_by_its_name(trained):
    about = Path("data/resized/rgb/dataset.json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"name": "own"}))
    message = r"the data set 'own', but model_2_best_sgd_rgb_8 was trained on 'sample'; run .python -m pipeline.clean"
    with pytest.raises(UserError, match=message):
        evaluated()


def test_none_one_by_one_is_refused_before_the_work(trained):
    with pytest.raises(UserError, match=r"one_by_one=0: expected a whole number, at least 1"):
        evaluated("one_by_one=0")


@pytest.mark.parametrize("name", ["run.json", "history.csv"])
def test_a_training_whose_file_was_cut_off_is_told(trained, name):
    file = trained / "train" / name
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(UserError, match=rf"{name}: cannot be read, .*; train it again with python -m pipeline\.train"):
        evaluated()
    assert not Path("out/evaluate").exists()


def test_a_run_that_mlflow_does_not_have_is_told_before_the_work(trained):
    store = open_store("mlruns", "sample", create=False)
    run_id = json.loads((trained / "train/run.json").read_text())["run_id"]
    store.client.delete_run(run_id)
    with pytest.raises(UserError, match=f"run=out: MLflow has no run {run_id}, to which its figures belong"):
        evaluated()
    assert not Path("out/evaluate").exists()


def test_row_28_a_server_that_goes_away_while_it_works_is_asked_nothing_afterwards(trained, monkeypatch):
    def predicted(*given):
        monkeypatch.setattr(Store, "run", lambda *_: pytest.fail("asked after the work"))
        return predict(*given)

    predict = evaluate.predict
    monkeypatch.setattr(evaluate, "predict", predicted)
    evaluated()


def test_a_folder_without_a_run_is_named(project):
    with pytest.raises(UserError, match="run=nowhere: no finished training there"):
        evaluate.main(composed("evaluate", "run=nowhere"))


def test_slices_that_would_overlap_are_refused():
    with pytest.raises(UserError, match=r"brightness\.dark_below=200: over brightness\.light_from=170"):
        composed("evaluate", "run=x", "brightness.dark_below=200")

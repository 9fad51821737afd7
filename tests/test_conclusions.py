"""What the study concluded from its numbers and must not be concluded again."""

import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import composed
from omegaconf import OmegaConf
from published import write_histories
from shells import shell
from tracked import PARAMS, TAGS
from trees import cleaned, encoded, picture, tree

from pipeline import draw, import_histories, rank, resize
from pipeline.labels import FOLDERS, LABELS
from pipeline.learning import models
from pipeline.learning.arrays import read_arrays
from pipeline.reporting import compare, predictions
from pipeline.running import tracking
from pipeline.running.errors import UserError

STUDYS_ORDER = [FOLDERS[folder] for folder in sorted(FOLDERS)]  # of its outputs: 4 neutral, 5 sadness, 6 surprise


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder with all 98 published runs in mlruns/ and their ranking in reports/."""
    folder = tmp_path_factory.mktemp("published")
    places = [f"paths.tracking={folder}/mlruns", f"paths.reports={folder}/reports"]
    histories = write_histories(folder / "histories")
    import_histories.main(composed("import_histories", f"folder={histories}", *places[:1]))
    rank.main(composed("rank", "study=published", *places))
    return folder


def about(folder: Path) -> dict:
    return json.loads((folder / "reports/ranking.json").read_text())


def test_the_published_ranking_comes_out_as_it_was_published(published):
    table, figures = pd.read_csv(published / "reports/ranking.csv"), about(published)
    assert figures["runs"] == 96
    assert (figures["mean"], figures["median"]) == pytest.approx((0.5652485278745493, 0.5673431754112244), abs=1e-15)
    first, last = table.iloc[0], table.iloc[-1]
    assert (first["run"], first["best_val_accuracy"]) == ("model_2_best_sgd_rgb_128", 0.5928241014480591)
    assert last["run"] == "model_4_best_nodropout_nobatchn_sgd_grayscale_32"
    assert last["best_val_accuracy"] == 0.33660054206848145


def test_wrong_1_a_model_says_its_outputs_by_name_and_one_in_the_order_of_folders_is_refused(tmp_path):
    assert STUDYS_ORDER[4:] == ["neutral", "sadness", "surprise"]
    net = models.layer_stack(["flatten"], size=4, channels=1)
    models.save(net, tmp_path / "ours.keras")
    with zipfile.ZipFile(tmp_path / "ours.keras") as archive:
        labels = json.loads(archive.read("labels.json"))
    assert labels[3:] == ["happiness", "sadness", "surprise", "neutral"]
    models.load(tmp_path / "ours.keras")
    net.save(tmp_path / "theirs.keras")
    with pytest.raises(UserError, match="is not a model this project saved"):
        models.load(tmp_path / "theirs.keras")
    with zipfile.ZipFile(tmp_path / "theirs.keras", "a") as archive:
        archive.writestr("labels.json", json.dumps(STUDYS_ORDER))
    with pytest.raises(UserError, match=r"its outputs are \['anger'.* in this order"):
        models.load(tmp_path / "theirs.keras")


def test_wrong_1_an_image_is_of_the_class_of_its_folders_name_from_raw_to_arrays(tmp_path):
    cleaned(tmp_path, tree(tmp_path / "raw", per_class=1))
    places = [f"paths.{name}={tmp_path / name}" for name in ("clean", "resized")]
    resize.main(composed("resize", "data=own", "channels=rgb", *places))
    index = read_arrays(tmp_path / "resized/rgb", "own").split("train").index
    by_folder = {id.split("/")[1]: LABELS[label] for id, label in zip(index["id"], index["label"], strict=True)}
    assert by_folder == FOLDERS
    assert [LABELS.index(by_folder[folder]) for folder in ("sad", "surprise", "neutral")] == [4, 5, 6]


def test_wrong_2_figures_from_the_test_folder_are_said_to_be_so(published):
    assert "validated on the test folder" in " ".join(about(published)["cautions"])


def test_wrong_3_runs_validated_on_135_images_of_one_class_are_never_ranked(published):
    table, apart = pd.read_csv(published / "reports/ranking.csv"), about(published)["apart"]
    assert not table["run"].str.contains("balanced").any()
    assert {each["best_val_accuracy"] for each in apart} == {0.7555555701255798, 0.7185184955596924}
    assert all("135 images, all of one class" in each["apart"] for each in apart)


def test_wrong_3_every_published_accuracy_is_a_fraction_of_the_images_it_is_said_to_be_of(published):
    table = pd.read_csv(published / "reports/ranking.csv")
    right = table["best_val_accuracy"] * table["valid_images"]
    assert (right - right.round()).abs().max() < 0.003
    assert about(published)["valid_images"] == 17344


def test_wrong_4_dark_faces_of_fewer_bytes_than_the_study_kept_are_kept(tmp_path):
    values = OmegaConf.to_container(composed("draw"), resolve=True)
    files = [draw.content(draw.Picture("train/sad/dark.jpg", n, n, "dark_face", 1), values) for n in range(20)]
    small = {f"train/sad/dark_{n}.jpg": data for n, data in enumerate(files) if len(data) < 675}
    assert len(small) > 5, "the test shows nothing"
    manifest, _ = cleaned(tmp_path, tree(tmp_path / "raw", extra=small))
    dark = manifest.loc[list(small)]
    assert dark["bytes"].max() < 675
    assert dark["kept"].all()


def test_wrong_5_a_runs_label_comes_from_the_choices_that_trained_it():
    cfg = composed("train", "model=model_1_concept", "optimizer=rmsprop")
    assert cfg.optimizer.build._target_.rsplit(".")[-1].lower() == cfg.optimizer.name == "rmsprop"
    for name in ("adam", "rmsprop", "sgd"):
        optimizer = composed("train", "model=model_1_concept", f"optimizer={name}").optimizer
        assert optimizer.build._target_.rsplit(".")[-1].lower() == optimizer.name == name


def test_wrong_6_the_top_of_the_published_ranking_is_not_called_a_winner(published):
    table = pd.read_csv(published / "reports/ranking.csv")
    top = table.head(10)
    assert top["best_val_accuracy"].max() - top["best_val_accuracy"].min() < 0.005
    assert top["tied_with_best"].all()
    assert (top["low"].max() < top["high"].min()) and (top["high"] - top["low"]).mean() == pytest.approx(
        0.0146, abs=4e-4
    )
    assert not table.tail(20)["tied_with_best"].any()
    assert set(table["compared_by"].dropna()) == {"two proportions"}


def test_wrong_7_a_picture_in_two_splits_is_found_refused_by_audit_and_lost_by_train(tmp_path, monkeypatch, capfd):
    twice = {"train/happy/copy.png": encoded(picture(1), "PNG"), "test/happy/original.bmp": encoded(picture(1), "BMP")}
    nearly = {
        "train/sad/copy.jpg": encoded(picture(2), quality=50),
        "valid/sad/original.png": encoded(picture(2), "PNG"),
    }
    raw = tree(tmp_path / "raw", seed=100, extra=twice | nearly)
    code, out, err = shell(monkeypatch, capfd, "audit", f"source={raw}", f"paths.cache={tmp_path / 'cache'}")
    assert code == 2
    assert "2 images of train stand in valid or test too (1 exactly, 1 nearly)" in err
    assert "leak: train/happy/copy.png shows the same as test/happy/original.bmp" in out
    manifest, _ = cleaned(tmp_path, raw)
    assert manifest.loc[["train/happy/copy.png", "train/sad/copy.jpg"], "kept"].tolist() == [False, False]
    assert manifest["kept"].sum() == len(manifest) - 2  # valid and test lose nothing


def write_run(store, name: str, seed: int, accuracy: float, right: np.ndarray | None = None, **params) -> str:
    """A finished run of 1,000 images of valid, with predictions when it is told which it got right."""
    values = PARAMS | {"epochs": 1, "seed": seed} | params
    run_id = store.start(name, values, TAGS | {"config_hash": f"{values}", "valid_images": "1000"})
    store.log_metrics(run_id, {"best_epoch": 1, "best_val_accuracy": accuracy})
    if right is not None:
        write_predictions(store, run_id, right)
    store.end(run_id, "FINISHED")
    return run_id


def write_predictions(store, run_id: str, right: np.ndarray) -> None:
    folder = Path("predictions") / run_id
    folder.mkdir(parents=True)
    predicted = np.eye(len(LABELS))[np.where(right, 3, 4)]
    valid = pd.DataFrame(predicted, columns=list(LABELS)).assign(split="valid", id=np.arange(len(right)), label=3)
    # A row of test that would turn every comparison round, were it read.
    test = pd.concat([valid.head(1)] * 5000).assign(split="test", label=np.where(right[0], 0, 3))
    pd.concat([valid, test]).to_parquet(folder / "predictions.parquet")
    store.log_files(run_id, folder, "evaluate")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracking.open_store("mlruns", "sample", create=True)


def ranked() -> pd.DataFrame:
    rank.main(composed("rank"))
    return pd.read_csv("reports/ranking.csv").set_index("run")


def test_wrong_2_what_a_run_predicted_on_test_never_reaches_the_ranking(store):
    run_id = write_run(store, "best", 0, 0.6, np.arange(1000) < 600)
    assert len(pd.read_parquet(predictions.artifact(store, run_id, predictions.PREDICTIONS))) == 6000
    assert len(predictions.valid(store, run_id)) == 1000
    assert predictions.correct(store, run_id).sum() == 600


def test_predictions_that_were_cut_off_are_one_line_that_says_what_makes_them_again(store):
    write_run(store, "best", 0, 0.6, np.arange(1000) < 600)
    (file,) = Path("mlruns").rglob("predictions.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"predictions.parquet: cannot be read, .*; run python -m pipeline.evaluate"):
        ranked()


def test_wrong_6_runs_on_the_same_images_are_compared_in_pairs(store, capsys):
    best = np.arange(1000) < 600
    worse = best & (np.arange(1000) % 20 > 0)  # 30 of the 600 are lost, none is won
    write_run(store, "best", 0, 0.6, best)
    write_run(store, "worse", 0, 0.57, worse, batch_size=16)
    write_run(store, "not_evaluated", 0, 0.57, None, batch_size=32)
    table = ranked()
    said = capsys.readouterr().out
    assert "1 of the 2 others were compared with it without predictions, which tells less" in said
    assert "-3.0 (-4.3 to -1.7)" in said
    assert table.loc["worse", "compared_by"] == "McNemar mid-p"
    assert not table.loc["worse", "tied_with_best"]
    to_best = table[["to_best", "to_best_low", "to_best_high"]]
    assert to_best.loc["best"].isna().all()
    # 30 of 1,000, none the other way, at the confidence of three pairs (Agresti and Min)
    low, high = compare.on_same_images(worse, best).interval(1 - 0.05 / 3)
    assert to_best.loc["worse"].tolist() == pytest.approx([-0.03, low, high]) and -0.05 < low < high < -0.01
    assert to_best.loc["not_evaluated", "to_best_low"] < low < high < to_best.loc["not_evaluated", "to_best_high"]
    assert table.loc["not_evaluated", "compared_by"] == "two proportions"
    assert table.loc["not_evaluated", "tied_with_best"]


def test_wrong_6_seeds_of_one_point_are_one_entry_ranked_by_its_mean(store):
    right = np.arange(1000)
    for seed, share in enumerate((0.9, 0.3, 0.6)):
        write_run(store, "lucky_once", seed, share, right < share * 1000)
        time.sleep(0.002)
    write_run(store, "steady", 0, 0.7, right < 700, batch_size=16)
    table = ranked()
    assert table.index.tolist() == ["steady", "lucky_once"]
    lucky = table.loc["lucky_once"]
    assert (lucky["seeds"], lucky["best_val_accuracy"], lucky["spread"]) == pytest.approx((3, 0.6, 0.6))
    assert lucky["sd"] == pytest.approx(0.3)
    assert len(lucky["run_ids"].split()) == 3
    assert lucky["compared_by"] == "paired t over images and seeds"
    assert pd.isna(table.loc["steady", "spread"])

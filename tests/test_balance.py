"""A balanced training set: made of train alone, each image's source known, what is left out the least sharp."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, composed
from omegaconf import OmegaConf

from pipeline import balance, compare, train
from pipeline.labels import LABELS
from pipeline.learning.arrays import Split, balanced, read_arrays
from pipeline.running import tracking
from pipeline.running.config import CONF
from pipeline.running.errors import UserError

CHOICE = ("balance=balanced_1", "balance.per_class=7")  # 40 images of train, 5 or 6 of an emotion
FOLDER = "data/balanced/balanced_1/rgb"


def made(*overrides: str) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Images, rows and dataset.json of a balanced set made now."""
    balance.main(composed("balance", *CHOICE, *overrides))
    about = json.loads(Path(FOLDER, "dataset.json").read_text())
    return np.load(f"{FOLDER}/train.npy"), pd.read_parquet(f"{FOLDER}/train.parquet"), about


def test_every_emotion_has_as_many_images_and_each_generated_one_a_source_in_train_of_its_emotion(project):
    images, rows, about = made()
    assert images.shape == (49, 48, 48, 3)
    assert rows["label"].value_counts().to_dict() == dict.fromkeys(range(7), 7)
    assert about["counts"] == dict.fromkeys(LABELS, 7)
    assert (about["images"], about["generated"], about["left_out"]) == (49, 9, 0)
    given = pd.read_parquet("data/resized/rgb/train.parquet").set_index("id")
    assert (given.loc[rows["source"], "label"].to_numpy() == rows["label"].to_numpy()).all()
    assert rows["generated"].sum() == 9
    assert rows["id"].is_unique
    assert (rows["id"] == rows["source"]).tolist() == (~rows["generated"]).tolist()


def test_kept_images_are_as_they_were_and_generated_ones_are_not_copies(project):
    images, rows, _ = made()
    given = np.load("data/resized/rgb/train.npy")
    position = {id: row for row, id in enumerate(pd.read_parquet("data/resized/rgb/train.parquet")["id"])}
    for image, source, generated in zip(images, rows["source"], rows["generated"], strict=True):
        assert np.array_equal(image, given[position[source]]) != generated


def test_valid_and_test_are_not_even_read(project):
    images, rows, _ = made()
    for split in ("valid", "test"):
        for suffix in ("npy", "parquet"):
            (project / f"data/resized/rgb/{split}.{suffix}").unlink()
    again, rows_again, _ = made()
    assert np.array_equal(images, again)
    assert rows.equals(rows_again)
    assert rows["source"].str.startswith("train/").all()


def test_the_seed_decides_what_is_generated(project):
    images, rows, about = made()
    other, _, about_other = made("seed=1")
    kept = ~rows["generated"]
    assert np.array_equal(images[kept], other[kept])
    assert about["digest"] != about_other["digest"]


def test_what_is_generated_is_of_one_image_alone_and_so_of_one_emotion():
    dark_and_light = np.repeat(np.array([0, 200], np.uint8), 5)[:, None, None, None] * np.ones((48, 48, 3), np.uint8)
    choice = OmegaConf.to_container(composed("balance").generate)
    for more in ({}, {"mixup": 0.4}):
        means = balance.generate(dark_and_light, choice | more, (0, 0)).mean((1, 2, 3))
        assert set(means.round(3)) == {0, 200}


def test_the_least_sharp_are_left_out_whatever_their_brightness(project):
    generator = np.random.default_rng(0)
    detailed = generator.integers(0, 256, (6, 48, 48, 1)).astype(np.uint8)
    smooth = np.stack([np.linspace(0, 255, 48).astype(np.uint8)[:, None].repeat(48, 1)[..., None]] * 2)
    dark = (detailed / 16).astype(np.uint8)
    quality = balance.sharpness(np.concatenate([detailed, smooth, dark]))
    assert quality[:6].min() > 100 * quality[6:8].max()
    assert quality[8:] == pytest.approx(quality[:6], rel=0.05)
    labels = np.arange(70) % 7
    rows, generated = balance.chosen(labels, np.arange(70)[::-1], 4, seed=0)
    assert not generated.any()
    assert sorted(rows) == list(range(28))


def test_what_was_left_out_is_listed(project):
    _, _, about = made("balance.per_class=3")
    left = pd.read_csv(f"{FOLDER}/left_out.csv")
    assert len(left) == about["left_out"] == 40 - 21
    assert set(left.columns) == {"id", "label", "sharpness"}


def test_each_image_of_an_emotion_is_used_as_often_as_any_other():
    rows, generated = balance.chosen(np.arange(21) % 7, np.ones(21), 13, seed=0)
    uses = np.bincount(rows[generated], minlength=21)
    assert set(uses) <= {3, 4}
    assert uses.sum() == 7 * 10


def test_training_takes_the_balanced_set_and_validates_on_all_of_valid(project):
    made()
    train.main(composed("train", *TINY, "epochs=1", *CHOICE))
    train.main(composed("train", *TINY, "epochs=1"))
    store = tracking.open_store("mlruns", "sample", create=False)
    plain, even = store.finished({})
    assert (plain.data.tags["train_images"], even.data.tags["train_images"]) == ("40", "49")
    assert plain.data.tags["valid_digest"] == even.data.tags["valid_digest"]
    assert plain.data.tags["valid_images"] == even.data.tags["valid_images"] == "40"
    assert plain.data.tags["train_digest"] != even.data.tags["train_digest"]
    assert even.info.run_name == f"{plain.info.run_name}_balanced_1"
    assert even.data.params["balance.per_class"] == "7"


def test_even_sampling_and_class_weights_change_a_training_without_any_file(project):
    choices = ("none", "even_sampling", "class_weight")
    for choice in choices:
        train.main(composed("train", *TINY, "epochs=1", f"balance={choice}"))
    runs = tracking.open_store("mlruns", "sample", create=False).finished({})
    losses = {run.data.params["balance.name"]: run.data.metrics["loss"] for run in runs}
    assert set(losses) == set(choices)
    assert len(set(losses.values())) == 3
    assert not (project / "data/balanced").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no balanced training set there; run: python -m pipeline.balance"),
        (
            lambda folder: balance.main(composed("balance", CHOICE[0], "balance.per_class=8")),
            r"has 8 images of each.*run: .* balance=balanced_1 balance.per_class=7",
        ),
        (lambda folder: edit(folder / "dataset.json", "made_from", "x"), "made from train of sample as it was"),
    ],
)
def test_a_set_that_is_absent_or_of_other_images_is_refused(project, change, message):
    made()
    change(project / FOLDER)
    with pytest.raises(UserError, match=message):
        balanced(read_arrays("data/resized/rgb", "sample"), FOLDER, {"per_class": 7})


def edit(file, key, value):
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))


@pytest.mark.parametrize("wrong", ["balance.per_class=0", "balance.per_class=many", "seed=-1"])
def test_a_wrong_value_is_refused_and_nothing_is_left(project, wrong):
    with pytest.raises(UserError, match=wrong):
        made(wrong)
    assert not (project / FOLDER).exists()


def test_row_13_a_full_disk_is_named_and_nothing_is_left(project, small_disk):
    place = f"paths.balanced={small_disk}/balanced"
    with pytest.raises(UserError, match="balanced_1/rgb: the disk is full"):
        made("balance.per_class=40", place)  # 1.9 MB
    assert not list((small_disk / "balanced").rglob("*.npy"))


def test_without_a_number_per_class_nothing_is_copied(project):
    balance.main(composed("balance"))
    files = [file.name for file in (project / "data/balanced/none/rgb").iterdir()]
    assert files == ["dataset.json"]
    about = json.loads((project / "data/balanced/none/rgb/dataset.json").read_text())
    assert set(about) == {"name", "per_class", "made_from"}, "an edit of what generates would train everything anew"


def test_class_counts_stand_beside_those_before_balancing(project):
    made()
    (project / "data/clean").mkdir()
    (project / "data/clean/summary.json").write_text('{"name": "sample"}')
    rows = pd.DataFrame({"split": ["train"] * 3, "label": [0, 0, 3], "kept": [True, False, True]})
    rows.to_parquet("data/clean/manifest.parquet")
    counts = compare.class_counts(project / "data/clean", project / "data/balanced", "sample")
    assert counts.index.tolist()[:3] == ["train, as given", "train, kept", "train, balanced_1"]
    assert counts.loc["train, kept"].to_dict() == dict.fromkeys(LABELS, 0) | {"anger": 1, "happiness": 1}
    assert counts.loc["train, balanced_1"].tolist() == [7] * 7


def test_each_chunk_of_generated_images_is_drawn_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(balance, "CHUNK", 4)
    images = np.random.default_rng(0).integers(0, 256, (7, 48, 48, 1), np.uint8)
    index = pd.DataFrame({"id": list(LABELS), "label": range(7)})
    choice = OmegaConf.to_container(composed("balance").generate)
    balance.balance(Split(images, np.arange(7), index), 13, choice, 0, tmp_path)
    rows = pd.read_parquet(tmp_path / "train.parquet")
    generated = np.load(tmp_path / "train.npy")[rows["generated"].to_numpy()]
    assert len(generated) == 7 * 12
    assert len({image.tobytes() for image in generated}) == 7 * 12


def test_what_is_generated_is_told_by_the_values_of_an_augmentation_but_mixup():
    """One that was added to conf/augment/ alone would stop `balance` in the middle."""
    augment = set(OmegaConf.load(CONF / "augment/study.yaml")) - {"name", "mixup"}
    assert set(OmegaConf.load(CONF / "balance.yaml").generate) == augment

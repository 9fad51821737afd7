"""Reading resized arrays, and what is said when they are not there or not those asked for."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.labels import LABELS
from pipeline.learning.arrays import balanced, read_arrays
from pipeline.running.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """A gray data set of 14 train images, 7 valid and no test ones."""
    for split, count in (("train", 14), ("valid", 7), ("test", 0)):
        np.save(tmp_path / f"{split}.npy", np.full((count, 48, 48, 1), 9, np.uint8))
        rows = {"id": [f"{split}/{row}.jpg" for row in range(count)], "label": np.arange(count, dtype=np.int8) % 7}
        pd.DataFrame(rows).to_parquet(tmp_path / f"{split}.parquet")
    about = {"name": "own", "size": 48, "digest": {"train": "a", "valid": "b", "test": "c"}, "made_from": "d"}
    about["labels"] = list(LABELS)
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    return tmp_path


def test_arrays_say_what_they_are(folder):
    arrays = read_arrays(folder, "own")
    assert (arrays.name, arrays.size, arrays.channels, arrays.digest["valid"]) == ("own", 48, 1, "b")


def test_a_split_has_a_label_and_a_row_for_each_image(folder):
    split = read_arrays(str(folder), "own").split("train")
    assert (split.images.shape, split.images.dtype) == ((14, 48, 48, 1), np.uint8)
    assert (split.labels.tolist(), split.labels.dtype) == (list(range(7)) * 2, np.int64)
    assert split.index["id"].iloc[3] == "train/3.jpg"


def test_arrays_that_are_made_anew_after_they_were_read_are_not_taken_for_the_same(folder):
    before = read_arrays(folder, "own")
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | {"digest": about["digest"] | {"train": "other"}}))
    assert len(before.split("valid").images) == 7  # which stayed as it was
    with pytest.raises(UserError, match="was made of other images while this ran; run the same command again"):
        before.split("train")
    assert len(read_arrays(folder, "own").split("train").images) == 14


def test_a_balanced_train_that_is_made_anew_is_not_taken_for_the_same(folder):
    balance = folder / "even/grayscale"
    balance.mkdir(parents=True)
    for name in ("train.npy", "train.parquet"):
        shutil.copy(folder / name, balance / name)
    about = {"per_class": 2, "made_from": "a", "digest": "d", "name": "own"}
    (balance / "dataset.json").write_text(json.dumps(about))
    arrays = balanced(read_arrays(folder, "own"), balance, {"per_class": 2})
    assert len(arrays.split("train").images) == 14
    (balance / "dataset.json").write_text(json.dumps(about | {"digest": "other"}))
    with pytest.raises(UserError, match="even/grayscale: was made of other images while this ran"):
        arrays.split("train")


def test_images_are_mapped_and_cannot_be_changed(folder):
    images = read_arrays(folder, "own").split("valid").images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_no_arrays_says_what_to_run(tmp_path):
    said = r"gray: no resized images there; run .*clean data=own` and .*resize data=own channels=gray`"
    with pytest.raises(UserError, match=said):
        read_arrays(tmp_path / "gray", "own")


def test_arrays_of_other_emotions_are_refused(folder):
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | {"labels": about["labels"][:2] + about["labels"][3:]}))
    with pytest.raises(UserError, match=r"was made for the emotions anger, disgust, happiness.*; run `python"):
        read_arrays(folder, "own")


def test_arrays_of_another_data_set_are_refused_by_name(folder):
    with pytest.raises(UserError, match=r"holds the data set 'own', but data=sample was asked for; pass data=own"):
        read_arrays(folder, "sample")


@pytest.mark.parametrize("name", ["dataset.json", "train.npy", "train.parquet"])
def test_a_damaged_or_missing_file_beside_whole_ones_says_what_to_run(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{name}: cannot be read, .*; run `python -m pipeline.clean data=own`"):
        read_arrays(folder, "own").split("train")
    (folder / name).unlink()
    with pytest.raises(UserError, match=r"run `python -m pipeline\.clean data=own`"):
        read_arrays(folder, "own").split("train")


def test_a_damaged_balanced_set_is_to_be_balanced_again(folder):
    balance = folder / "even/grayscale"
    balance.mkdir(parents=True)
    (balance / "dataset.json").write_text(json.dumps({"per_class": 2, "made_from": "a", "digest": "d", "name": "own"}))
    arrays = balanced(read_arrays(folder, "own"), balance, {"per_class": 2})
    with pytest.raises(
        UserError, match=r"even/grayscale/train\.npy: not there; run: python -m pipeline\.balance data=own"
    ):
        arrays.split("train")
    (balance / "dataset.json").write_text('{"per_class": 2,')
    with pytest.raises(UserError, match=r"dataset\.json: cannot be read, .*channels=grayscale balance=even"):
        balanced(read_arrays(folder, "own"), balance, {"per_class": 2})


def test_a_split_without_an_image_is_refused(folder):
    with pytest.raises(UserError, match=r"test\.npy: no image in split test"):
        read_arrays(folder, "own").split("test")

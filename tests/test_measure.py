"""An exported model is measured on labelled faces as they lie, by figures that are known beforehand."""

import json
import shutil
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from conftest import composed
from PIL import Image
from serving.known import gray_of
from trees import PLAIN, encoded, write, zipped

from pipeline import measure
from pipeline.images.layout import Layout
from pipeline.images.source import open_labelled
from pipeline.labels import FOLDERS, LABELS
from pipeline.running.errors import UserError


def face(label: str, seed: int) -> bytes:
    """A picture of the brightness by which the model of `exported` takes it for that emotion, nothing blank."""
    noise = np.random.default_rng(seed).integers(-12, 13, (48, 48))
    return encoded(Image.fromarray((np.clip(gray_of(label), 12, 243) + noise).astype(np.uint8)), "PNG")


def labelled(root, prefix="", wrong=0, each=4):
    """Faces in class folders, of each emotion `wrong` of them under the label of the next."""
    for folder, label in FOLDERS.items():
        for number in range(each):
            shown = LABELS[(LABELS.index(label) + (number < wrong)) % 7]
            write(root, f"{prefix}{folder}/{number}.png", face(shown, crc32(f"{prefix}{folder}{number}".encode())))
    return root


def measured(tmp_path, source, exported, *overrides) -> tuple[dict, pd.DataFrame]:
    places = [f"exported={exported}", f"out={tmp_path / 'out'}", f"paths.cache={tmp_path / 'cache'}"]
    measure.main(composed("measure", f"source={source}", *places, *overrides))
    report = json.loads((tmp_path / "out/report.json").read_text())
    return report, pd.read_parquet(tmp_path / "out/predictions.parquet")


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_without_splits_are_measured_by_the_labels_they_have(tmp_path, exported, caplog, packed):
    caplog.set_level("INFO")
    source = labelled(tmp_path / "faces", wrong=1)
    if packed:
        source = zipped(source, tmp_path / "faces.zip", "mine/")
    report, rows = measured(tmp_path, source, exported)
    assert report["measured"]["scores"]["accuracy"] == 0.75 and report["measured"]["images"] == 28
    assert (rows.label == [LABELS.index(FOLDERS[id.split("/")[-2]]) for id in rows.id]).all()
    assert np.mean(rows[list(LABELS)].to_numpy().argmax(1) == rows.label) == 0.75
    headline = json.loads((tmp_path / "out/metrics.json").read_text())
    assert headline["accuracy"] == 0.75 and headline["accuracy_low"] < 0.75 < headline["accuracy_high"]
    assert "accuracy 0.7500 (0.56" in caplog.text and "macro F1 0.75" in caplog.text
    assert "when it was exported, on the test of its own images: accuracy 0.5000 (0.4800 to 0.5200)" in caplog.text
    assert "that it was trained on (its own images) make it look better than it is" in caplog.text
    names = {file.name for file in (tmp_path / "out").iterdir()}
    plots = {f"{plot}.png" for plot in ("confusion", "classification", "roc", "reliability", "risk_coverage")}
    assert names == plots | {"report.json", "metrics.json", "predictions.parquet"}


def test_of_a_source_with_splits_one_is_measured(tmp_path, exported):
    source = labelled(labelled(tmp_path / "faces", "set/train/"), "set/test/", wrong=2)
    report, rows = measured(tmp_path, source, exported)
    assert report["measured"]["scores"]["accuracy"] == 0.5
    assert rows.id.str.startswith("test/").all() and (rows.split == "test").all()
    report, _ = measured(tmp_path, source, exported, "split=train")
    assert report["measured"]["scores"]["accuracy"] == 1
    with pytest.raises(UserError, match="no valid in it; it has test and train: split=<one of them>"):
        measured(tmp_path, source, exported, "split=valid")


def test_folders_go_by_the_layout_and_emotions_may_be_missing(tmp_path, exported, caplog):
    caplog.set_level("INFO")
    source = labelled(tmp_path / "faces")
    (source / "happy").rename(source / "joy")
    for name in ("disgust", "fear"):
        shutil.rmtree(source / name)
    with pytest.raises(UserError, match=r"unknown class folder 'joy'; expected are angry, disgust, .*data\.layout"):
        measured(tmp_path, source, exported)
    report, rows = measured(tmp_path, source, exported, "+data.layout.folders.joy=happiness")
    assert set(rows.label) == {0, 3, 4, 5, 6} and report["measured"]["scores"] == {"accuracy": 1.0}
    assert "no images of disgust, fear, and so no macro average" in caplog.text


@pytest.mark.parametrize("names", [("Training", "PublicTest"), ("Train", "test"), ("train", "val")])
def test_folders_that_may_be_splits_are_never_measured_together(tmp_path, exported, names):
    source = labelled(labelled(tmp_path / "faces", f"{names[0]}/"), f"{names[1]}/")
    with pytest.raises(UserError, match=r"which split is that\? Say it in data\.layout\.splits"):
        measured(tmp_path, source, exported)
    splits = [f"+data.layout.splits.{name}={split}" for name, split in zip(names, ("train", "test"), strict=True)]
    _, rows = measured(tmp_path, source, exported, *splits)
    assert len(rows) == 28 and rows.id.str.startswith(f"{names[1]}/").all()


@pytest.mark.parametrize("split", ["test", "train"])
def test_what_is_no_picture_of_a_face_is_left_out_and_copies_are_said(tmp_path, exported, capsys, split):
    source = labelled(tmp_path / "faces", each=20)
    write(source, "happy/broken.jpg", b"no picture")
    write(source, "sad/blank.png", encoded(Image.new("L", (48, 48), 90), "PNG"))
    write(source, "sad/copy.png", (source / "sad/0.png").read_bytes())
    report, rows = measured(tmp_path, source, exported, f"split={split}")
    assert report["measured"]["images"] == len(rows) == 141
    said = capsys.readouterr().out
    assert "1 not_an_image" in said and "1 blank" in said and f"1 duplicate_in_{split}" in said
    for number in range(20):
        write(source, f"happy/broken{number}.jpg", b"no picture")
    with pytest.raises(UserError, match="over max_bad_share"):
        measured(tmp_path, source, exported)


def test_what_cannot_be_measured_is_one_line_and_leaves_what_was_there(tmp_path, exported):
    source = labelled(tmp_path / "faces")
    measured(tmp_path, source, exported)
    before = (tmp_path / "out/report.json").read_bytes()
    write(tmp_path / "none", "faces/1.jpg", b"x")
    for wrong, said in (
        ([tmp_path / "none", exported], "no image in a class folder; expected {angry,disgust,"),
        ([tmp_path / "nowhere", exported], "no such folder, .zip or .csv; expected one that holds {angry,disgust,"),
        ([source, tmp_path / "none"], "expected an exported model in"),
    ):
        with pytest.raises(UserError) as caught:
            measured(tmp_path, *wrong)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="split=all: expected test or train or valid"):
        measured(tmp_path, source, exported, "split=all")
    assert (tmp_path / "out/report.json").read_bytes() == before
    with pytest.raises(UserError, match="lies in the source"):
        measured(tmp_path, source, exported, f"out={source / 'happy/out'}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    with pytest.raises(UserError, match="mine"):
        measured(tmp_path, source, exported, f"out={tmp_path / 'mine'}")


def test_a_picture_is_of_the_nearest_folder_that_is_called_as_an_emotion(tmp_path):
    write(tmp_path, "test/happy/deep/er/1.jpg", b"x")
    with pytest.raises(UserError, match="no valid in it; it has test"):
        open_labelled(tmp_path, PLAIN, "valid")
    assert open_labelled(tmp_path, PLAIN, "test").places == {"test/happy/deep/er/1.jpg": ("test", 3)}
    shutil.rmtree(tmp_path / "test")
    write(tmp_path, "happy/sad/1.jpg", b"x")
    source = open_labelled(tmp_path, PLAIN, "test")
    assert (source.root, source.places) == ("happy/", {"sad/1.jpg": ("test", 4)})
    unread = Layout({}, {"sad": "none"}, 0, 0)
    with pytest.raises(UserError, match="no image in a class folder"):
        open_labelled(tmp_path, unread, "test")

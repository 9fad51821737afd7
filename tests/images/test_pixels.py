"""A .csv of pixels is read as the folders that it stands for would be; what is wrong with one is said in a line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import composed
from trees import PLAIN, cleaned, picture, tree, zipped

from pipeline.images.decode import Decoded, decode
from pipeline.images.layout import layout_of
from pipeline.images.source import open_labelled, open_source
from pipeline.labels import LABELS
from pipeline.running.errors import UserError

USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
PUBLISHED = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # 0 to 6, by its authors
HEADER = "emotion,pixels,Usage"


def layout():
    return layout_of(composed("clean", "data=fer2013_csv", "source=x").data)


def pixels(seed: int) -> np.ndarray:
    return np.asarray(picture(seed).convert("L"))


def text(image: np.ndarray) -> str:
    return " ".join(map(str, image.ravel()))


def rows(per_class: int = 2) -> list[tuple[str, str, np.ndarray]]:
    """Emotion, Usage and pixels of images of every class and split."""
    keys = [(str(emotion), usage) for usage in USAGES for emotion in range(7) for _ in range(per_class)]
    return [(*key, pixels(seed)) for seed, key in enumerate(keys)]


def written(path: Path, *extra: str, per_class: int = 2) -> Path:
    lines = [f"{emotion},{text(image)},{usage}" for emotion, usage, image in rows(per_class)]
    path.write_text("\n".join([HEADER, *lines, *extra]) + "\n")
    return path


def test_every_line_is_an_image_of_its_split_and_emotion(tmp_path):
    source = open_source(written(tmp_path / "fer2013.csv"), layout())
    assert len(source.ids()) == len(rows())
    for number, (emotion, usage, image) in enumerate(rows(), 2):
        id = f"{usage}/{emotion}/line_{number}"
        assert source.places[id] == (USAGES[usage], LABELS.index(PUBLISHED[int(emotion)]))
        found = decode(source.read(id), 1 << 20)
        assert isinstance(found, Decoded)
        assert np.array_equal(np.asarray(found.image), image)


def test_another_process_reads_it_too(tmp_path):
    source = open_source(written(tmp_path / "fer2013.csv"), layout())
    there, id = pickle.loads(pickle.dumps(source)), source.ids()[7]
    assert there.read(id) == source.read(id)
    assert there.size(id) == source.size(id) > 48 * 48


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("emotion, Usage, pixels", "{emotion},{usage},{pixels}"),
        ("\ufeffEmotion,Pixels,USAGE", "{emotion},{pixels},{usage}"),
        ('\ufeff"emotion","pixels","Usage"', '"{emotion}","{pixels}","{usage}"'),
        ("id,emotion,pixels,Usage,by", "17,{emotion}, {pixels} ,{usage},"),
    ],
    ids=[
        "other order and spaces",
        "other case and a mark of its encoding",
        "quotes after such a mark",
        "other columns",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_however_it_was_written_it_has_the_same_images(tmp_path, header, line, end):
    plain = open_source(written(tmp_path / "plain.csv"), layout())
    said = [line.format(emotion=emotion, usage=usage, pixels=text(image)) for emotion, usage, image in rows()]
    (tmp_path / "other.csv").write_bytes(end.join([header, *said, "", ""]).encode())
    other = open_source(tmp_path / "other.csv", layout())
    assert other.places == plain.places
    assert all(other.read(id) == plain.read(id) for id in plain.ids())


def test_it_is_cleaned_as_the_same_images_in_folders_are(tmp_path):
    twice = f"0,{text(pixels(3))},Training"
    manifest, summary = cleaned(tmp_path, written(tmp_path / "fer2013.csv", twice, per_class=4), "data=fer2013_csv")
    assert manifest.kept.sum() == len(rows(4))
    assert manifest.reason[~manifest.kept].to_dict() == {"Training/0/line_86": "duplicate_in_train"}
    assert summary["name"] == "fer2013_csv"


@pytest.mark.parametrize(
    "values", ["", "1 2 3", "0 " * 2303 + "256", "0 " * 2303 + "-1", "0 " * 2303 + "0.5", "a " * 2304]
)
def test_a_line_whose_pixels_make_no_image_is_set_aside_and_the_others_stay(tmp_path, values):
    path = written(tmp_path / "fer2013.csv", f"3,{values},Training", per_class=4)
    manifest, _ = cleaned(tmp_path, path, "data=fer2013_csv", "data.max_bad_share=0.1")
    assert manifest.reason[~manifest.kept].to_dict() == {"Training/3/line_86": "unreadable"}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_source(path, layout())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("7,0 0 0 0,Training", "unknown class folder 'Training/7'"),
        ("0,0 0 0 0", "line 44 has 2 values, its first line 3"),
        ("0,0,0,0,0,Training", "line 44 has 6 values, its first line 3"),
        (",0 0 0 0,Training", "line 44 has '' as emotion or Usage"),
        ("0,0 0 0 0,a/b", "line 44 has 'a/b' as emotion or Usage"),
    ],
)
def test_a_line_that_says_no_emotion_or_split_is_named(tmp_path, extra, said):
    assert said in refusal(written(tmp_path / "fer2013.csv", extra))


@pytest.mark.parametrize(("header", "missing"), [("emotion,Usage", "pixels"), ("pixels", "emotion"), ("", "emotion")])
def test_a_csv_of_something_else_is_refused(tmp_path, header, missing):
    (tmp_path / "truth.csv").write_text(f"{header}\n")
    assert f"no column '{missing}' in its first line" in refusal(tmp_path / "truth.csv")


def test_one_without_images_or_splits_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text(f"{HEADER}\n")
    assert "empty; expected {Training,PublicTest,PrivateTest}/" in refusal(tmp_path / "empty.csv")
    (tmp_path / "unsplit.csv").write_text(f"emotion,pixels\n3,{text(pixels(0))}\n")
    assert "no train/, valid/ and test/ in it" in refusal(tmp_path / "unsplit.csv")


def test_without_splits_a_model_can_be_measured_on_it(tmp_path):
    (tmp_path / "faces.csv").write_text(f"emotion,pixels\nhappy,{text(pixels(0))}\nanger,{text(pixels(1))}\n")
    places = open_labelled(tmp_path / "faces.csv", PLAIN, "test").places
    assert places == {"anger/line_3": ("test", 0), "happy/line_2": ("test", 3)}


def test_one_inside_a_folder_or_zip_is_pointed_at(tmp_path):
    inside = tmp_path / "fer2013"
    inside.mkdir()
    written(inside / "fer2013.csv")
    for source in (tmp_path, zipped(inside, tmp_path / "a.zip", "fer2013/")):
        assert "where 'fer2013/fer2013.csv' has the pixels of images, take it out" in refusal(source)


def test_a_csv_beside_folders_of_images_is_left_alone(tmp_path):
    usual = open_source(tree(tmp_path / "faces"), PLAIN).places
    written(tmp_path / "faces" / "fer2013.csv")
    assert open_source(tmp_path / "faces", PLAIN).places == usual


def test_a_changed_file_has_another_fingerprint(tmp_path):
    path = written(tmp_path / "fer2013.csv")
    before = open_source(path, layout()).fingerprint()
    assert open_source(path, layout()).fingerprint() == before
    written(path, f"0,{text(pixels(3))},Training")
    assert open_source(path, layout()).fingerprint() != before

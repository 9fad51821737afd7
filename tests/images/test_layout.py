"""Folders of other names, and a source without valid: what they are is said in conf/data/, and nothing is guessed."""

from collections import Counter

import pytest
from conftest import composed
from PIL import Image
from trees import PLAIN, cleaned, tree, write, zipped

from pipeline import audit, resize
from pipeline.images.layout import Layout, layout_of
from pipeline.images.source import open_source
from pipeline.labels import FOLDERS, LABELS, SPLITS
from pipeline.running.errors import UserError

DIGITS = {str(number): emotion for number, emotion in enumerate(LABELS)}


def named(root, splits=None, folders=None, per_class=2):
    """A tree whose folders are renamed, from what they are in MMAFEDB."""
    tree(root, per_class)
    for split in SPLITS:
        for old, new in (folders or {}).items():
            (root / split / old).rename(root / split / new)
    for old, new in (splits or {}).items():
        (root / old).rename(root / new)
    return root


def without_valid(root, per_class=20):
    tree(root, per_class)
    (root / "valid").rename(root.parent / "left out")
    return root


def test_a_label_is_looked_up_by_name_and_not_by_its_place_in_the_alphabet(tmp_path):
    places = open_source(tree(tmp_path, per_class=1), PLAIN).places
    found = {id.split("/")[1]: place.label for id, place in places.items()}
    assert found == {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "neutral": 6, "sad": 4, "surprise": 5}
    assert all(place.split == id.split("/")[0] for id, place in places.items())


def test_folders_of_other_names_have_the_places_that_the_usual_ones_have(tmp_path):
    usual = open_source(tree(tmp_path / "usual"), PLAIN).places
    digit = {folder: str(LABELS.index(label)) for folder, label in FOLDERS.items()}
    root = named(tmp_path / "own", {"train": "Training", "valid": "val"}, digit)
    layout = Layout({"Training": "train", "val": "valid"}, DIGITS, 0, 0)
    for source in (open_source(root, layout), open_source(zipped(root, tmp_path / "own.zip"), layout)):
        assert Counter(source.places.values()) == Counter(usual.values())
        assert source.places["Training/3/0.jpg"] == ("train", LABELS.index("happiness"))
        assert source.places["val/6/1.jpg"] == ("valid", LABELS.index("neutral"))
        assert source.read("val/6/1.jpg") == (root / "val/6/1.jpg").read_bytes()


def test_folders_called_as_the_emotions_need_no_layout(tmp_path):
    root = named(tmp_path, folders={"angry": "anger", "happy": "happiness", "sad": "sadness"})
    assert open_source(root, PLAIN).places["train/happiness/0.jpg"] == ("train", LABELS.index("happiness"))


def test_a_folder_that_is_of_none_is_passed_over_and_two_may_be_of_one_emotion(tmp_path):
    root = tree(tmp_path)
    before = open_source(root, PLAIN).ids()
    write(root, "train/contempt/1.jpg", b"x")
    write(root, "train/rage/1.jpg", b"x")
    places = open_source(root, Layout({}, {"contempt": "none", "rage": "anger"}, 0, 0)).places
    assert list(places) == sorted([*before, "train/rage/1.jpg"])
    assert places["train/rage/1.jpg"] == ("train", LABELS.index("anger"))


def test_valid_is_drawn_from_train_where_it_is_asked_for(tmp_path):
    root = without_valid(tmp_path / "faces")
    usual = open_source(tree(tmp_path / "whole", per_class=20), PLAIN).places
    places = open_source(root, Layout({}, {}, 0.1, 0)).places
    assert list(places) == [id for id in usual if not id.startswith("valid/")]
    drawn = [id for id, place in places.items() if place.split == "valid"]
    assert all(id.startswith("train/") for id in drawn)
    assert Counter(places[id].label for id in drawn) == dict.fromkeys(range(7), 2)
    assert all(places[id].label == usual[id].label for id in places)
    assert open_source(zipped(root, tmp_path / "a.zip"), Layout({}, {}, 0.1, 0)).places == places
    other = open_source(root, Layout({}, {}, 0.1, 1)).places
    assert drawn != [id for id, place in other.items() if place.split == "valid"]
    more = open_source(root, Layout({}, {}, 0.2, 0)).places
    assert all(more[id].split == "valid" for id in drawn)


def refusal(path, layout) -> str:
    with pytest.raises(UserError) as caught:
        open_source(path, layout)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_is_called_as_the_layout_calls_it(tmp_path):
    layout = Layout({"val": "valid"}, DIGITS | {"7": "none"}, 0, 0)
    assert "expected {train,val,test}/{0,1,2,3,4,5,6}/<images>" in refusal(tmp_path, layout)
    digit = {folder: str(LABELS.index(label)) for folder, label in FOLDERS.items()}
    root = named(tmp_path / "own", {"valid": "val"}, digit, per_class=1)
    write(root, "train/9/1.jpg", b"x")
    message = refusal(root, layout)
    assert "unknown class folder 'train/9'; expected are 0, 1, 2, 3, 4, 5, 6;" in message
    assert "or give its emotion in data.layout.folders" in message
    (root / "train/9").rename(tmp_path / "9")
    (root / "test/3/0.jpg").unlink()
    assert "no images in class folder 'test/3'; expected are 0, 1," in refusal(root, layout)


def test_a_valid_that_is_missing_names_what_could_be_said_of_it(tmp_path):
    root = without_valid(tmp_path / "faces", 1)
    message = refusal(root, PLAIN)
    assert "split 'valid' is missing or empty; expected {train,valid,test}/{angry," in message
    assert "a valid that is to be drawn from train, go into data.layout" in message
    tree(tmp_path / "of other names", 1)
    for old, new in (("train", "Training"), ("valid", "PublicTest"), ("test", "PrivateTest")):
        (tmp_path / "of other names" / old).rename(tmp_path / "of other names" / new)
    message = refusal(tmp_path / "of other names", PLAIN)
    assert "it has 'PrivateTest', 'PublicTest', 'Training': say in data.layout which is which" in message
    (tmp_path / "of other names/Training").rename(tmp_path / "of other names/train")
    (tmp_path / "of other names/PrivateTest").rename(tmp_path / "of other names/test")
    assert "split 'valid' is missing or empty; is it 'PublicTest'?" in refusal(tmp_path / "of other names", PLAIN)
    message = refusal(tmp_path / "of other names", Layout({}, {}, 0.1, 0))
    assert "has 'PublicTest' beside train, and data.layout.valid_share=0.1 would draw a valid; say in" in message


def test_an_emotion_of_no_folder_is_said(tmp_path):
    message = refusal(tree(tmp_path), Layout({}, {"disgust": "none"}, 0, 0))
    assert "data.layout.folders has none for disgust; all seven emotions are needed" in message


def test_a_valid_that_is_there_is_not_drawn_too(tmp_path):
    message = refusal(tree(tmp_path, 3), Layout({}, {}, 0.1, 0))
    assert "has a valid, and data.layout.valid_share=0.1 would draw another; make it 0" in message


@pytest.mark.parametrize(("per_class", "share"), [(1, 0.1), (4, 1.0)])
def test_train_keeps_an_image_of_each_emotion(tmp_path, per_class, share):
    message = refusal(without_valid(tmp_path / "faces", per_class), Layout({}, {}, share, 0))
    assert f"of anger, {per_class} in train, nothing would be left there" in message
    assert "lower data.layout.valid_share" in message


def test_steps_go_by_the_layout_and_say_what_was_drawn(tmp_path, capsys):
    root = without_valid(tmp_path / "faces")
    overrides = ["data.layout.valid_share=0.2", "data.layout.valid_seed=3"]
    manifest, summary = cleaned(tmp_path, root, *overrides)
    assert Counter(manifest.split) == {"train": 7 * 16, "valid": 7 * 4, "test": 7 * 20}
    assert set(manifest.index[manifest.split == "valid"]) <= {id for id in manifest.index if id.startswith("train/")}
    assert "it had none; 0.2 of train was drawn for it" in capsys.readouterr().out
    assert "0.2 of train was drawn for it" in (tmp_path / "clean/report.html").read_text()
    assert summary["layout"] == {"splits": {}, "folders": {}, "valid_share": 0.2, "valid_seed": 3}
    places = [f"paths.{name}={tmp_path / name}" for name in ("clean", "resized", "cache")]
    resize.main(composed("resize", "data=own", "channels=grayscale", *places, *overrides))
    with pytest.raises(UserError, match=r"was cleaned with another data\.layout than there is now"):
        resize.main(composed("resize", "data=own", "channels=grayscale", *places))


def test_the_audit_takes_train_as_it_is(tmp_path, capsys):
    root = without_valid(tmp_path / "faces")
    ids = sorted(open_source(root, Layout({}, {}, 0.2, 0)).ids())
    copied = next(id for id in ids if id.startswith("train/"))
    for number in range(40):  # of which some would be drawn for valid, and some not
        write(root, f"{copied}.copy{number}.jpg", (root / copied).read_bytes())
    step = ["audit", "data=own", f"source={root}", f"paths.cache={tmp_path / 'cache'}", "data.layout.valid_share=0.2"]
    audit.main(composed(*step))
    out = capsys.readouterr().out
    assert "train" in out and "valid" not in out
    write(root, "test/angry/copy.jpg", (root / copied).read_bytes())
    with pytest.raises(UserError, match="stand in valid or test too"):
        audit.main(composed(*step))


def test_a_valid_that_is_drawn_loses_copies_and_one_that_was_there_does_not(tmp_path):
    root = without_valid(tmp_path / "faces")
    overrides = ["data.layout.valid_share=0.2"]
    places = open_source(root, Layout({}, {}, 0.2, 0)).places
    again, near, first, second = [id for id, place in places.items() if place.split == "valid"][:4]
    (root / second).write_bytes((root / first).read_bytes())
    write(root, "test/sad/again.jpg", (root / again).read_bytes())
    Image.open(root / near).resize((96, 96)).save(root / "test/sad/near.png")
    manifest, _ = cleaned(tmp_path, root, *overrides)
    assert manifest.reason[again] == "duplicate_of_test"
    assert manifest.reason[near] == "near_duplicate_of_test"
    assert not manifest.kept[[again, near]].any() and manifest.kept[["test/sad/again.jpg", "test/sad/near.png"]].all()
    assert manifest.reason[second] == "duplicate_in_valid" and manifest.kept[first]
    allowed, _ = cleaned(tmp_path, root, *overrides, f"data.allow=[{near}]")
    assert allowed.kept[near] and not allowed.kept[again]
    whole = tree(tmp_path / "whole", 3)
    write(whole, "test/sad/again.jpg", (whole / "valid/sad/0.jpg").read_bytes())
    manifest, _ = cleaned(tmp_path, whole)
    assert manifest.kept["valid/sad/0.jpg"]


def test_a_copy_of_an_image_that_is_drawn_for_valid_leaves_train(tmp_path):
    root = without_valid(tmp_path / "faces")
    overrides = ["data.layout.valid_share=0.2"]
    manifest, _ = cleaned(tmp_path, root, *overrides)
    id = manifest.index[manifest.split == "valid"][0]
    copies = {f"{id}.copy{number}.jpg" for number in range(40)}
    for copy in copies:
        write(root, copy, (root / id).read_bytes())
    manifest, _ = cleaned(tmp_path, root, *overrides)
    same = manifest[manifest.sha256 == manifest.sha256[id]]
    assert set(same.split) == {"train", "valid"}
    assert not same.kept[same.split == "train"].any()
    assert set(same.reason[same.split == "train"]) == {"duplicate_of_valid"}


def test_a_denied_image_takes_its_copies_with_it_where_either_was_drawn_for_valid(tmp_path):
    root = without_valid(tmp_path / "faces")
    places = open_source(root, Layout({}, {}, 0.2, 0)).places
    of_happy = [id for id, place in places.items() if place.label == 3]
    drawn = next(id for id in of_happy if places[id].split == "valid")
    train = next(id for id in of_happy if places[id].split == "train")
    for denied, copy in ((drawn, train), (train, drawn)):
        (root / copy).write_bytes((root / denied).read_bytes())
        manifest, _ = cleaned(tmp_path, root, "data.layout.valid_share=0.2", f"data.deny=[{denied}]")
        assert (manifest.reason[[denied, copy]] == "denied").all()


def test_numbers_as_names_are_text_wherever_they_come_from():
    data = {"layout": {"splits": {}, "folders": {1: "surprise"}, "valid_share": 0, "valid_seed": 0}}
    assert layout_of(data).folders == {"1": "surprise"}
    added = composed("clean", "data=own", "+data.layout.folders.1=surprise", "+data.layout.splits.val=valid")
    assert layout_of(added.data) == Layout({"val": "valid"}, {"1": "surprise"}, 0, 0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+data.layout.folders.joy=happy", "data.layout.folders.joy=happy: expected anger or disgust or"),
        ("+data.layout.splits.val=validation", "data.layout.splits.val=validation: expected test or train or valid"),
        ("data.layout.valid_share=2", "data.layout.valid_share=2: expected a number, from 0 to 1"),
        ("data.layout.folders=3", "data.layout.folders is a group; give its values one by one, such as +data"),
        ("+data.layout.splits.val=[valid,test]", "data.layout.splits.val=['valid', 'test']: expected a text"),
        ("+data.layout.splits.val={is: valid}", "data.layout.splits.val={'is': 'valid'}: expected a text"),
        ("+data.layout.val=valid", "data.layout.val: there is no such value"),
        ("~data.layout.folders", "data.layout.folders: missing, and it is needed"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_before_any_work(override, said):
    with pytest.raises(UserError) as caught:
        composed("clean", "data=own", override)
    assert said in str(caught.value)

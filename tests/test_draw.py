"""The drawn data set: the plan of the real config, and small drawn sets made from it."""

import csv
import re
from functools import partial
from io import BytesIO

import numpy as np
import pytest
from conftest import composed, contents
from omegaconf import OmegaConf
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import draw
from pipeline.drawing.dirt import NEAR
from pipeline.drawing.faces import UNITS, Shot, random_person
from pipeline.drawing.sketch import draw_face
from pipeline.labels import FOLDERS, LABELS, SPLITS
from pipeline.running.errors import UserError
from pipeline.running.pool import in_processes

SMALL = ["images={train:130,valid:40,test:40}", "camera.supersampling=1"]
CLEAN = [
    *(f"dirt.{fault}=0" for fault in ("truncated", "not_an_image", "empty", "blank", "placeholder", "valid_in_test")),
    *(f"dirt.{fault}={{train:0,valid:0,test:0}}" for fault in ("dark_face", "exact_duplicate", *NEAR)),
    "dirt.other_label=0",
]


def planned(*overrides):
    cfg = composed("draw", *overrides)
    return draw.plan(cfg.images, cfg.identities, cfg.shares, cfg.dirt, cfg.seed)


def truth(folder):
    with (folder / "truth.csv").open() as file:
        return list(csv.DictReader(file))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), np.float32)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small set with all planted faults."""
    folder = tmp_path_factory.mktemp("drawn") / "sample"
    draw.main(composed("draw", *SMALL, "workers=auto", f"output={folder}"))
    return folder


@pytest.fixture(scope="module")
def learning():
    """Train and valid of a small clean set at 48 x 48: images (N, 48, 48) gray 0..255, class indices (N,)."""
    cfg = composed("draw", *CLEAN, "images={train:350,valid:120,test:0}", "camera.supersampling=1")
    values = OmegaConf.to_container(cfg, resolve=True)
    pictures = draw.plan(cfg.images, cfg.identities, cfg.shares, cfg.dirt, cfg.seed)
    found = {split: ([], []) for split in SPLITS}
    with in_processes(partial(draw.content, values=values), pictures, 2) as drawn:
        for picture, content in zip(pictures, drawn, strict=True):
            images, labels = found[picture.id.split("/")[0]]
            image = Image.open(BytesIO(content)).convert("L").resize((48, 48), Image.Resampling.BILINEAR)
            images.append(np.asarray(image, np.float32))
            labels.append(LABELS.index(FOLDERS[picture.folder]))
    return {split: (np.array(images), np.array(labels)) for split, (images, labels) in found.items() if labels}


def test_plan_of_the_real_config():
    pictures = planned()
    assert len(pictures) == len({p.id for p in pictures}) == 1400
    for split in ("valid", "test"):
        for folder in FOLDERS:
            assert sum(p.id.startswith(f"{split}/{folder}/") for p in pictures) >= 15
    assert 0.05 < sum(p.fault != "" for p in pictures) / len(pictures) < 0.07


def test_nobody_is_in_two_splits():
    persons = {split: {p.person for p in planned() if p.id.startswith(split)} for split in SPLITS}
    assert not persons["train"] & persons["valid"]
    assert not persons["train"] & persons["test"]
    assert not persons["valid"] & persons["test"]


def test_names_tell_neither_class_nor_fault():
    pictures = planned()
    assert all(re.fullmatch(r"face_\d{5}\.jpg", p.id.split("/")[2]) for p in pictures)
    numbers = {folder: [int(p.id[-9:-4]) for p in pictures if p.folder == folder] for folder in FOLDERS}
    for found in (*numbers.values(), [int(p.id[-9:-4]) for p in pictures if p.fault]):
        assert 550 < np.mean(found) < 850  # all lie around the middle of 0..1399


def test_a_copy_follows_its_original_which_is_repeated_once():
    pairs = [(p, p.of) for p in planned() if p.of]
    assert all(not of.fault and of.of is None for _, of in pairs)
    assert len({of.id for _, of in pairs}) == len(pairs)
    for copy, of in pairs:
        assert copy.id > of.id or of.id.split("/")[0] != copy.id.split("/")[0]
        assert (copy.folder != of.folder) == (copy.fault == "other_label")


def test_same_values_same_bytes_whatever_the_number_of_processes(sample, tmp_path):
    draw.main(composed("draw", *SMALL, "workers=1", f"output={tmp_path / 'again'}"))
    first, again = contents(sample), contents(tmp_path / "again")
    assert len(first) == 211
    assert first == again


def test_another_seed_draws_other_faces():
    values = OmegaConf.to_container(composed("draw", *SMALL), resolve=True)
    picture = draw.Picture("train/happy/face_00000.jpg", 0, 0)
    assert draw.content(picture, values) != draw.content(picture, values | {"seed": 8})


def test_truth_says_what_cleaning_has_to_do(sample):
    rows = truth(sample)
    for row in rows:
        assert (sample / draw.ROOT / row["id"]).is_file()
        split = row["id"].split("/")[0]
        expected = {"dark_face": "keep", "valid_in_test": "report"}.get(row["fault"], "drop")
        assert row["expected"] == expected
        assert split == "train" or expected != "drop"
    assert {row["fault"] for row in rows} == set(composed("draw").dirt)


def test_broken_files_are_broken(sample):
    for row in truth(sample):
        path = sample / draw.ROOT / row["id"]
        if row["fault"] == "empty":
            assert path.stat().st_size == 0
        elif row["fault"] == "not_an_image":
            with pytest.raises(OSError):
                Image.open(path)
        elif row["fault"] == "truncated":
            with pytest.raises(OSError), Image.open(path) as image:
                image.load()
        elif row["fault"] == "blank":
            assert np.ptp(pixels(path)) == 0


def test_only_planted_duplicates_have_the_same_pixels(sample):
    rows = truth(sample)
    broken = {row["id"] for row in rows if row["fault"] in ("empty", "not_an_image", "truncated")}
    seen, same = {}, set()
    for path in sorted((sample / draw.ROOT).rglob("*.jpg")):
        id = path.relative_to(sample / draw.ROOT).as_posix()
        if id not in broken:
            image = pixels(path)
            key = (image.shape, image.tobytes())
            if key in seen:
                same.add(frozenset((id, seen[key])))
            seen[key] = id
    faults = ("exact_duplicate", "valid_in_test", "other_label")
    exact = {frozenset((row["id"], row["of"])) for row in rows if row["fault"] in faults}
    assert same == exact
    files = [[(sample / draw.ROOT / id).read_bytes() for id in pair] for pair in exact]
    assert {a == b for a, b in files} == {True, False}  # some differ in their bytes


def test_near_duplicates_are_near(sample):
    for row in truth(sample):
        if row["fault"] in NEAR:
            copy, original = (Image.open(sample / draw.ROOT / row[key]).convert("L") for key in ("id", "of"))
            if row["fault"] == "mirrored":
                copy = ImageOps.mirror(copy)
            if row["fault"] == "cropped":
                original = ImageOps.crop(original, round(0.04 * original.width))
            a, b = (np.asarray(image.resize((24, 24), Image.Resampling.BOX), float) for image in (copy, original))
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95


def test_dark_faces_are_faces_that_a_rule_by_size_would_lose(sample):
    size = {row["id"]: (sample / draw.ROOT / row["id"]).stat().st_size for row in truth(sample)}
    dark = [row["id"] for row in truth(sample) if row["fault"] == "dark_face"]
    cards = [row["id"] for row in truth(sample) if row["fault"] == "placeholder"]
    assert min(size[id] for id in dark) < 675 < max(size[id] for id in cards)
    assert {"train", "valid", "test"} == {id.split("/")[0] for id in dark}
    for id in dark:
        image = pixels(sample / draw.ROOT / id)
        assert image.mean() < 60
        assert image.std() > 2


def test_files_are_gray_and_colour_in_many_sizes(sample):
    kinds = set()
    sizes = set()
    for path in (sample / draw.ROOT / "valid").rglob("*.jpg"):
        with Image.open(path) as image:
            sizes.add(image.size)
            content = np.asarray(image.convert("RGB"), int)
            kinds.add((image.mode, bool(np.ptp(content, axis=2).max() == 0)))
    assert kinds == {("L", True), ("RGB", True), ("RGB", False)}
    assert len(sizes) > 10
    assert 48 <= min(sizes)[0] <= max(sizes)[0] <= 160


def test_brightness_does_not_tell_the_emotion(learning):
    (train, train_labels), (valid, valid_labels) = learning["train"], learning["valid"]
    means = [np.stack([x.mean((1, 2)), x.std((1, 2))], 1) for x in (train, valid)]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(means[0], train_labels)
    majority = np.bincount(valid_labels).max() / len(valid_labels)
    assert model.score(means[1], valid_labels) < majority + 0.08


def test_edges_tell_the_emotion(learning):
    (train, train_labels), (valid, valid_labels) = learning["train"], learning["valid"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=500)).fit(edges(train), train_labels)
    majority = np.bincount(valid_labels).max() / len(valid_labels)
    assert model.score(edges(valid), valid_labels) > majority + 0.2


def edges(images):
    """Histograms of gradient directions, (N, 512): 8 directions in 8 x 8 cells, each cell normalised."""
    down, right = np.gradient(images / 255, axis=(1, 2))
    direction = (np.arctan2(down, right) % np.pi / np.pi * 8).astype(int) % 8
    cells = np.hypot(down, right)[..., None] * (direction[..., None] == np.arange(8))
    cells = cells.reshape(len(images), 8, 6, 8, 6, 8).sum((2, 4))
    return (cells / (np.linalg.norm(cells, axis=-1, keepdims=True) + 0.1)).reshape(len(images), -1)


@pytest.mark.parametrize("unit", UNITS)
def test_an_action_unit_shows(unit):
    shot = Shot(0, 0, 0, 0.5, 0, 0, 30, 30, 0.6, (0, 0))
    backdrop = Image.new("RGB", (96, 96), "gray")

    def at(units):
        person = random_person(np.random.default_rng(3))
        return np.asarray(draw_face(person, units, shot, backdrop, np.random.default_rng(3)), int)

    assert np.abs(at({unit: 1.0}) - at({})).mean() > 0.05
    assert np.array_equal(at({}), at({unit: 0.0}))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["images={train:40,valid:9,test:9}"], "too few for the planted faults"),
        (["camera.size=[160,48]"], r"camera.size=\[160, 48\]: expected \[lowest, highest\]"),
        (["camera.size=[4,48]"], "camera.size=4: expected a whole number, from 16"),
        (["shares.happy=0.5"], "add up to 1.300"),
        (["emotions.happy.AU12=[1]"], r"emotions.happy.AU12=\[1\]: expected \[intensity, probability\]"),
        (["+emotions.happy.AU99=[1,1]"], "AU99 is not drawn"),
        (["identities.test=0"], "identities.test=0: expected a whole number, at least 1"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(overrides, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        draw.main(composed("draw", f"output={tmp_path / 'sample'}", "workers=1", *overrides))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_elses_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"something else than this writes \(no truth.csv\); empty it or"):
        draw.main(composed("draw", f"output={tmp_path}"))
    assert (tmp_path / "thesis.txt").read_text() == "mine"

"""Resizing: arrays as promised, nothing aliased, the same bytes every time, no memory that grows with the data."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import composed, contents
from PIL import Image
from trees import cleaned, digests, encoded, picture, tree, write, zipped

from pipeline import audit, resize
from pipeline.labels import LABELS
from pipeline.learning.arrays import write_images
from pipeline.running.errors import UserError


def resized(root, channels: str, *overrides):
    places = [f"paths.{name}={root / name}" for name in ("clean", "resized", "cache")]
    resize.main(composed("resize", "data=own", f"channels={channels}", *places, *overrides))
    return root / "resized" / channels


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    raw = tree(root / "raw")
    write(raw, "train/happy/bad.jpg", b"")
    write(raw, "train/happy/large.png", encoded(picture(900, size=96, colour=True), "PNG"))
    cleaned(root, raw)
    return root


@pytest.mark.parametrize(("channels", "count"), [("rgb", 3), ("grayscale", 1)])
def test_arrays_match_their_rows(root, channels, count):
    folder = resized(root, channels)
    about = json.loads((folder / "dataset.json").read_text())
    assert (about["name"], about["channels"], about["size"]) == ("own", channels, 48)
    assert about["counts"] == {"train": 15, "valid": 14, "test": 14}
    assert about["labels"] == list(LABELS)
    for split in ("train", "valid", "test"):
        pixels, rows = np.load(folder / f"{split}.npy", mmap_mode="r"), pd.read_parquet(folder / f"{split}.parquet")
        assert (pixels.dtype, pixels.shape) == (np.uint8, (len(rows), 48, 48, count))
        assert rows.label.dtype == np.int8
        assert "train/happy/bad.jpg" not in set(rows.id)
        digest = hashlib.sha256(pixels.tobytes() + rows.label.to_numpy().tobytes())
        assert digest.hexdigest() == about["digest"][split]
        for row, id in enumerate(rows.id):
            image = Image.open(root / "raw" / id).convert("RGB" if count == 3 else "L")
            if image.size == (48, 48):
                assert np.array_equal(pixels[row], np.asarray(image).reshape(48, 48, count))


def test_luminance_is_itu_r_601():
    image = Image.new("RGB", (48, 48), (200, 100, 50))
    assert resize.resized(image, 48, 1)[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


@pytest.mark.parametrize("size", [48, 31, 112])
def test_gray_is_the_same_in_three_channels_as_in_one(size):
    image = picture(5, size=size).convert("L")
    found = resize.resized(image, 48, 3)
    assert found.shape == (48, 48, 3)
    assert np.array_equal(found, resize.resized(image.convert("RGB"), 48, 3))
    assert np.array_equal(found[..., :1], resize.resized(image, 48, 1))


def test_reduction_does_not_alias():
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than 48 pixels can show: gray is right, bands are not
    found = resize.resized(Image.fromarray(stripes), 48, 3)[2:-2, 2:-2]
    assert found.min() >= 120
    assert found.max() <= 135


def test_same_input_gives_the_same_bytes(root):
    first = digests(resized(root, "rgb"))
    assert digests(resized(root, "rgb", "shard=4")) == first  # with worker processes


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_source_is_never_changed(tmp_path, kind):
    raw = tree(tmp_path / "raw", per_class=1)
    source = raw if kind == "folder" else zipped(raw, tmp_path / "raw.zip")
    held, before = tmp_path / "held", contents(raw) if kind == "folder" else source.read_bytes()
    audit.main(composed("audit", "data=own", f"source={source}", f"paths.cache={held / 'cache'}"))
    cleaned(held, source)
    resized(held, "rgb")
    assert (contents(raw) if kind == "folder" else source.read_bytes()) == before


def test_no_clean_data_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"run: python -m pipeline\.clean data=own"):
        resized(tmp_path, "rgb")


@pytest.mark.parametrize("name", ["summary.json", "manifest.parquet"])
def test_clean_data_that_was_cut_off_says_what_to_run(root, tmp_path, name):
    shutil.copytree(root / "clean", tmp_path / "clean")
    file = tmp_path / "clean" / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{name}: cannot be read, .*; run: python -m pipeline\.clean data=own"):
        resized(tmp_path, "rgb")


def test_clean_data_of_another_name_is_refused(root):
    with pytest.raises(UserError, match="holds data 'own', not 'sample'"):
        resized(root, "rgb", "data=sample")


def test_image_that_changed_since_cleaning_is_named(tmp_path):
    raw = tree(tmp_path / "raw")
    cleaned(tmp_path, raw)
    write(raw, "train/sad/0.jpg", b"")
    with pytest.raises(UserError, match=r"train/sad/0\.jpg is zero_bytes"):
        resized(tmp_path, "rgb")
    assert not (tmp_path / "resized").exists() or not list((tmp_path / "resized").iterdir())


@pytest.mark.parametrize("form", [lambda raw: raw, lambda raw: zipped(raw, raw.with_suffix(".zip"))])
def test_image_that_became_another_since_cleaning_is_named(tmp_path, form):
    raw = tree(tmp_path / "raw")
    cleaned(tmp_path, form(raw))
    write(raw, "train/sad/0.jpg", (raw / "test/happy/1.jpg").read_bytes())
    form(raw)
    with pytest.raises(UserError, match=r"raw(\.zip)?: train/sad/0\.jpg has changed since it was cleaned; clean again"):
        resized(tmp_path, "grayscale")
    assert not list((tmp_path / "resized").glob("*"))


def test_image_that_can_no_longer_be_read_is_named(tmp_path):
    raw = tree(tmp_path / "raw")
    archive = zipped(raw, tmp_path / "a.zip")
    cleaned(tmp_path, archive)
    data = bytearray(archive.read_bytes())
    data[data.index((raw / "train/sad/0.jpg").read_bytes()) + 300] ^= 0xFF  # no longer as its checksum says
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"train/sad/0\.jpg is unreadable"):
        resized(tmp_path, "rgb")


def test_images_are_read_as_a_stream(tmp_path):
    shape = (3000, 48, 48, 3)
    blocks = (np.full((1000, 48, 48, 3), number, np.uint8) for number in range(3))
    write_images(tmp_path / "all.npy", shape, blocks, np.zeros(3000, np.int8))
    found = np.load(tmp_path / "all.npy", mmap_mode="r")
    assert found.shape == shape
    assert found[:, 0, 0, 0].tolist() == [0] * 1000 + [1] * 1000 + [2] * 1000

"""What cleaning finds in 36,078 real faces, which are not distributed: REAL_FACES_ZIP is the path of their zip."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from trees import PLAIN, cleaned

from pipeline.images.decode import decode
from pipeline.images.fingerprints import fingerprints, transforms
from pipeline.images.near import near_pairs
from pipeline.images.source import open_source

ZIP = os.environ.get("REAL_FACES_ZIP", "")
HERE = Path(__file__).parent / "real_faces"

pytestmark = [
    pytest.mark.skipif(not ZIP, reason="needs real-faces.zip: set REAL_FACES_ZIP to its path"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return cleaned(tmp_path_factory.mktemp("real"), ZIP, "data.name=real_faces")


def test_identical_pixels(found):
    _, summary = found
    assert summary["identical_pixels"] == {"groups": 1234, "surplus": 1485, "across_splits": 249, "other_label": 42}


def test_junk_is_found_and_faces_are_not_lost(found):
    manifest, _ = found
    listed = (HERE / "placeholders.txt").read_text().splitlines()
    placeholders = {id for id in listed if not id.startswith("#")}
    junk = set(manifest.index[manifest.reason.isin(["blank", "placeholder"])])
    uniform = set(manifest.index[manifest["std"] < 1])
    assert len(uniform) == 13
    assert uniform <= junk
    assert len(placeholders & junk) >= 0.95 * len(placeholders)
    lost = junk - placeholders - uniform
    assert len(lost) <= len(manifest) / 3000
    faces = manifest.drop(list(placeholders | uniform))
    darkest = faces.nsmallest(len(faces) // 100, "mean")
    # that one is a dark collage with a chin at its edge
    assert set(darkest.index) & lost <= {"valid/neutral/PublicTest_69342366.jpg"}


def test_no_leak_is_left(found):
    manifest, _ = found
    kept = manifest[manifest.kept]
    held_out = kept[kept.split != "train"]
    assert not set(kept.sha256[kept.split == "train"]) & set(held_out.sha256)


CHANGES = {
    "JPEG quality 40": lambda image: image,
    "enlarged to 96": lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
    "4 % cut off all round": lambda image: image.crop((2, 2, image.width - 2, image.height - 2)),
    "20 % brighter": lambda image: image.point(lambda level: min(level * 1.2, 255)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_planted_near_duplicates(found, change):
    manifest, _ = found
    raw = open_source(ZIP, PLAIN)
    kept = manifest[manifest.kept & (manifest.width == 48)]
    originals, planted = [], []
    for id in kept.index[:: len(kept) // 1000][:1000]:
        image = decode(raw.read(id), 10**6).image.convert("L")
        originals.append(np.asarray(image))
        file = io.BytesIO()
        CHANGES[change](image).save(file, "JPEG", quality=40 if change.startswith("JPEG") else 85)
        changed = decode(file.getvalue(), 10**6).image
        planted.append(np.asarray(changed.resize((48, 48), Image.Resampling.BICUBIC)))
    prints = fingerprints(transforms(np.stack(originals + planted), [0.02, 0.04]))
    first, second, _ = near_pairs(prints, 1000, 0.92, 4, 16, 5, 4, 64, 0)
    hits = set(zip(first.tolist(), second.tolist(), strict=True))
    assert sum((row, row + 1000) in hits for row in range(1000)) >= 950

"""The gate between train and valid or test: what the first search misses, by chance, a later one finds."""

import numpy as np
import pandas as pd
import pytest

from pipeline.images.duplicates import near_duplicates
from pipeline.images.manifest import gate
from pipeline.running.errors import UserError

PAIRS = 500
FEW = {"similarity": 0.9, "tables": 1, "tables_held_out": 1, "spare_bits": 5, "flips": 4, "bucket": 64, "seed": 0}


def judged(near: dict) -> tuple[pd.DataFrame, np.ndarray]:
    """Manifest and fingerprints of images of train, each nearly the same as one of valid, after one search."""
    generator = np.random.default_rng(0)
    valid = generator.normal(0, 40, (PAIRS, 1, 256))
    train = valid + generator.normal(0, 14, valid.shape)  # cosines of about 0.94
    ids = [f"{split}/happy/{number:03}" for split in ("train", "valid") for number in range(PAIRS)]
    images = pd.DataFrame({"id": ids, "split": [id.split("/")[0] for id in ids], "label": 0, "sha256": ids})
    images.loc[images.id == "valid/happy/007", "label"] = 1
    prints = np.concatenate([train, valid]).clip(-127, 127).astype(np.int8)
    found = near_duplicates(images, prints, near, allow=[])
    return images.join(found).assign(kept=found.reason == ""), prints


def test_what_one_search_misses_the_gate_finds():
    missed, prints = judged(FEW)
    assert 50 < missed.kept[:PAIRS].sum() < 200
    manifest = gate(missed.copy(), prints, FEW, [], "faces.zip")
    assert not manifest.kept[:PAIRS].any()
    assert manifest.kept[PAIRS:].all()
    gone = manifest[missed.kept & ~manifest.kept]
    assert (gone.reason == "near_duplicate_of_valid").all()
    assert (gone.of == gone.id.str.replace("train", "valid")).all()
    assert gone.similarity.between(0.9, 1).all()
    again = gate(missed.copy(), prints, FEW, [], "faces.zip")
    pd.testing.assert_frame_equal(manifest, again)


def test_another_label_is_told_whichever_search_finds_the_image():
    more = FEW | {"tables_held_out": 4}
    images, prints = judged(more)
    unjudged = images.assign(kept=True, reason="", of="", similarity=0.0, other_label=False)
    manifest = gate(unjudged, prints, more, [], "faces.zip")
    assert manifest.id[manifest.other_label].tolist() == ["train/happy/007", "valid/happy/007"]


def test_a_search_that_finds_too_little_fails_and_names_what_to_raise():
    weak = FEW | {"flips": 0}
    with pytest.raises(UserError, match=r"faces\.zip: 'train/happy/.*raise near\.tables_held_out, now 1$"):
        gate(*judged(weak), weak, [], "faces.zip")
    strong = weak | {"tables_held_out": 16}  # the advice helps
    assert not gate(*judged(strong), strong, [], "faces.zip").kept[:PAIRS].any()

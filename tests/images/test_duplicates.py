"""Which of several images that show the same picture leaves."""

import numpy as np
import pandas as pd

from pipeline.images.duplicates import near_duplicates

NEAR = {"similarity": 0.92, "tables": 16, "tables_held_out": 16, "spare_bits": 1, "flips": 2, "bucket": 64, "seed": 0}


def test_what_is_like_an_allowed_image_that_stays_is_a_copy_within_train():
    ids = ["test/happy/v", "train/happy/a", "train/happy/b"]
    images = pd.DataFrame({"id": ids, "split": ["test", "train", "train"], "label": 0, "sha256": ids})
    angle = np.radians([0, 20, 40])  # cosines of 0.94 between neighbours, 0.77 between the first and the last
    prints = np.zeros((3, 1, 256), np.int8)
    prints[:, 0, 0], prints[:, 0, 1] = 100 * np.cos(angle), 100 * np.sin(angle)
    found = near_duplicates(images, prints, NEAR, allow=["train/happy/a"])
    assert found.reason.tolist() == ["", "", "near_duplicate_in_train"] and found.of[2] == "train/happy/a"
    assert near_duplicates(images, prints, NEAR, allow=[]).reason.tolist() == ["", "near_duplicate_of_test", ""]

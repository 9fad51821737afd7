"""Contact sheets: as many pictures as can be saved, and none held in memory at the size that it is read in."""

import weakref
from io import BytesIO

import pandas as pd
from PIL import Image

from pipeline.images.page import sheets


def duplicates(images: int) -> pd.DataFrame:
    """What a sheet reads of a manifest with so many duplicates in it."""
    ids = [f"train/sad/{number:05}.jpg" for number in range(images)]
    same = {"reason": "duplicate_in_train", "note": "", "similarity": 1.0, "sha256": "x"}
    return pd.DataFrame({"id": ids, "of": [f"of {id}" for id in ids]}).assign(**same)


def test_pictures_are_not_kept_at_their_full_size():
    read, most = [], 0

    def image(id: str) -> Image.Image:
        nonlocal most
        picture = Image.new("RGB", (200, 150), (len(read), 0, 0))
        read.append(weakref.ref(picture))
        most = max(most, sum(picture() is not None for picture in read))
        return picture

    found = sheets(duplicates(40), image, images=400, tile=8, columns=5)
    assert len(read) == 80
    assert most <= 2
    assert found["removed_duplicate_in_train"].size == (5 * (2 * 8 + 4), 8 * (8 + 4))


def test_a_sheet_is_no_taller_than_can_be_saved():
    found = sheets(duplicates(1000), lambda id: Image.new("L", (8, 8)), images=1000, tile=64, columns=1)
    sheet = found["removed_duplicate_in_train"]
    assert sheet.height == 65_500 // (64 + 4) * (64 + 4)
    sheet.save(BytesIO(), "JPEG")

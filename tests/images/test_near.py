"""Near duplicates: what is found, what is not, and that the work grows with the images, not with their pairs."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from trees import picture

from pipeline.images import fingerprints as taking
from pipeline.images import near
from pipeline.images.fingerprints import mirrored, perceptual_hashes, transforms

SEARCH = {"tables": 4, "tables_held_out": 16, "spare_bits": 5, "flips": 4, "bucket": 64, "seed": 0}
CROPS = [0.02, 0.04]


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((48, 48), Image.Resampling.BICUBIC))


def fingerprints(images: np.ndarray, crops: list[float]) -> np.ndarray:
    return taking.fingerprints(transforms(images, crops))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


CHANGES = {
    "compressed": lambda image: compressed(image, 40),
    "enlarged": lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
    "reduced": lambda image: image.resize((24, 24), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
    "cropped": lambda image: image.crop((2, 2, 46, 46)),
    "brighter": lambda image: image.point(lambda level: min(level * 1.2, 255)),
    "darker": lambda image: image.point(lambda level: level * 0.8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_found(change):
    originals = np.stack([small(picture(seed)) for seed in range(200)])
    changed = np.stack([small(CHANGES[change](picture(seed))) for seed in range(200)])
    prints = fingerprints(np.concatenate([originals, changed]), CROPS)
    first, second, cosine = near.near_pairs(prints, 200, 0.92, **SEARCH)
    assert (cosine >= 0.92).all()
    assert (first < second).all()
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(row, row + 200) for row in range(200)}


def test_what_is_shown_again_is_found_however_many_held_out_rows_are_all_alike():
    generator = np.random.default_rng(0)
    one = generator.normal(0, 40, (1, 1, 256))
    alike = one + generator.normal(0, 1, (310, 1, 256))
    prints = alike.clip(-127, 127).astype(np.int8)
    found = near.shown_again(prints, 300, {"similarity": 0.92} | SEARCH)
    assert {again for _, again, _ in found} == {*range(300, 310)} and {of for of, *_ in found} <= {*range(300)}


def test_other_pictures_are_not_found():
    prints = fingerprints(np.stack([small(picture(seed)) for seed in range(1000)]), CROPS)
    assert len(near.near_pairs(prints, 500, 0.92, **SEARCH)[0]) == 0


def test_few_images():
    prints = fingerprints(np.stack([small(picture(seed)) for seed in range(2)]), CROPS)
    for count in range(3):
        assert len(near.near_pairs(prints[:count], 0, 0.92, **SEARCH)[0]) == 0


def test_a_key_of_few_images_has_the_bits_that_the_table_counts_in():
    one = fingerprints(small(picture(1))[None], CROPS)[:, :1]
    first, second, _ = near.near_pairs(np.repeat(one, 2, axis=0), 0, 0.92, **SEARCH | {"spare_bits": 0})
    assert (first.tolist(), second.tolist()) == ([0], [1])


def test_more_flips_than_the_key_of_a_few_images_has_bits():
    one = fingerprints(small(picture(1))[None], CROPS)
    first, second, _ = near.near_pairs(np.repeat(one, 2, axis=0), 0, 0.92, **SEARCH | {"flips": 16})
    assert (first.tolist(), second.tolist()) == ([0], [1])


def test_many_alike_are_each_paired_with_the_first():
    one = fingerprints(small(picture(1))[None], CROPS)
    prints = np.repeat(one, 2000, axis=0)
    first, second, _ = near.near_pairs(prints, 0, 0.92, **SEARCH)
    assert len(first) < 2000 * 70  # of 1,999,000 pairs
    assert set(second[first == 0].tolist()) == set(range(1, 2000))


def test_candidates_do_not_grow_with_the_number_of_images(monkeypatch):
    looked_at = []
    alike = near._Table.alike

    def counted(self, one, *rest):
        looked_at.append(len(one))
        return alike(self, one, *rest)

    monkeypatch.setattr(near._Table, "alike", counted)
    each = []
    rng = np.random.default_rng(0)
    for count in (1000, 8000):
        looked_at.clear()
        coarse = rng.integers(0, 256, (count, 8, 1, 8, 1), dtype=np.uint8)
        images = np.broadcast_to(coarse, (count, 8, 6, 8, 6)).reshape(count, 48, 48)
        near.near_pairs(fingerprints(images, CROPS), 0, 0.92, **SEARCH)
        each.append(sum(looked_at) / count)
    assert each[1] < each[0] * 1.5


def test_fingerprint_of_a_mirrored_picture():
    one = small(picture(1))
    assert np.abs(fingerprints(one[None, :, ::-1], []).astype(int) - mirrored(fingerprints(one[None], []))).max() <= 1


def test_perceptual_hash_holds_under_compression():
    images = [picture(seed) for seed in range(50)]
    plain = perceptual_hashes(transforms(np.stack([small(image) for image in images]), []))
    again = perceptual_hashes(transforms(np.stack([small(compressed(image, 40)) for image in images]), []))
    assert plain.dtype == np.uint64
    assert np.bitwise_count(plain ^ again).max() <= 8
    assert np.bitwise_count(plain[:-1] ^ plain[1:]).min() >= 10

"""Augmentation against what it stands for: ImageDataGenerator's geometry, sampled once, and the papers' mixing."""

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from scipy import ndimage

from pipeline.learning import augment as module
from pipeline.learning.augment import COLUMNS, augment, warp
from pipeline.running.cli import CONF

# Half a gray value of rounding, and slopes of up to 36 a pixel either way sampled 1/64 of a pixel beside the place.
NEAR = 0.5 + 2 * 36 / 64

NONE, STUDY, STRONG = (
    OmegaConf.to_container(OmegaConf.load(CONF / "augment" / f"{name}.yaml")) for name in ("none", "study", "strong")
)
LIMITS = NONE | {"flip": True, "rotation": 40, "shift": 0.2, "shear": 20, "zoom": 0.2}


def batch(count, size=48, channels=1, seed=0):
    """Smooth random images, uint8, and one-hot labels."""
    generator = np.random.default_rng(seed)
    images = ndimage.zoom(generator.uniform(0, 255, (count, 8, 8, channels)), (1, size / 8, size / 8, 1), order=1)
    return images.astype(np.uint8), np.eye(7, dtype=np.float32)[generator.integers(0, 7, count)]


def augmented(images, choice, seed=(1, 2), labels=None):
    labels = np.eye(7, dtype=np.float32)[np.zeros(len(images), int)] if labels is None else labels
    found = augment(tf.constant(images), tf.constant(labels), tf.constant(seed, tf.int32), choice)
    return found[0].numpy(), found[1].numpy()


def warped(image, **draws):
    """One image under chosen draws (-1..1) of the geometry within LIMITS, as float."""
    draw = {name: tf.constant([float(draws.get(name, 1 if name == "flip" else 0))]) for name in COLUMNS}
    matrices = module._matrices(draw, LIMITS, *image.shape[:2])
    return warp(tf.constant(image[None]), matrices, sharp=False)[0].numpy().astype(float)


def generator_transform(image, **values):
    """Keras's own affine transform, as ImageDataGenerator applies it."""
    apply = tf.keras.preprocessing.image.apply_affine_transform
    return apply(image.astype(float), **values, row_axis=0, col_axis=1, channel_axis=2, fill_mode="nearest", order=1)


def test_none_leaves_images_and_labels_alone():
    images, labels = batch(8, channels=3)
    found = augmented(images, NONE, labels=labels)
    assert np.array_equal(found[0], images)
    assert np.array_equal(found[1], labels)


def test_the_identity_warp_leaves_every_pixel_alone():
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    assert all(np.array_equal(warped(image), image) for image in images)


def test_flip_mirrors_half_of_the_images_exactly():
    images, _ = batch(400, size=16)
    found, _ = augmented(images, NONE | {"flip": True})
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(found, images, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 0.4 < np.mean(mirrored) < 0.6


@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
@pytest.mark.parametrize(
    "draws",
    [
        {"rotation": 0.7},
        {"shear": 1},
        {"shear": -0.5},
        {"zoom_x": 1},
        {"zoom_y": -1},
        {"zoom_x": -0.8, "zoom_y": 0.6},
        {"shear": 0.9, "zoom_x": -0.8, "zoom_y": 0.6},
        {"rotation": -0.6, "shear": 0.9, "zoom_x": 0.8, "zoom_y": -0.6},
    ],
)
def test_geometry_is_that_of_image_data_generator(draws):
    image = batch(1, channels=3, seed=3)[0][0]
    expected = generator_transform(
        image,
        theta=40 * draws.get("rotation", 0),
        shear=20 * draws.get("shear", 0),
        zx=1 + 0.2 * draws.get("zoom_x", 0),
        zy=1 + 0.2 * draws.get("zoom_y", 0),
    )
    difference = warped(image, **draws) - expected
    assert np.abs(difference).max() <= NEAR
    assert abs(difference.mean()) < 0.1  # rounded, not cut off


def test_a_flip_comes_after_the_rest_as_in_image_data_generator():
    image = batch(1, seed=4)[0][0]
    draws = {"shear": 0.9, "rotation": 0.4, "zoom_x": 0.5}
    assert np.abs(warped(image, flip=-1, **draws) - warped(image, **draws)[:, ::-1]).max() <= NEAR


@pytest.mark.parametrize(("draw", "axis"), [("shift_x", 1), ("shift_y", 0)])
def test_a_shift_is_a_share_of_the_side_and_repeats_the_border(draw, axis):
    image = batch(1, seed=5)[0][0]
    offset = [0.0, 0.0, 0.0]
    offset[axis] = -0.2 * 0.6 * 48
    expected = ndimage.shift(image.astype(float), offset, order=1, mode="nearest")
    assert np.abs(warped(image, **{draw: 0.6}) - expected).max() <= NEAR


def test_the_study_zooms_each_axis_by_itself_between_0_8_and_1_2():
    ramp = np.arange(48, dtype=np.uint8) * 5
    pair = np.stack([np.broadcast_to(ramp, (48, 48)), np.broadcast_to(ramp[:, None], (48, 48))], -1)
    found, _ = augmented(np.repeat(pair[None], 500, 0), STUDY)
    across = np.abs(found[:, 24, 34, 0].astype(float) - found[:, 24, 14, 0]) / 100
    down = (found[:, 34, 24, 1].astype(float) - found[:, 14, 24, 1]) / 100
    for zoom in (across, down):
        assert 0.79 <= zoom.min() < 0.82
        assert 1.18 < zoom.max() <= 1.21
        assert abs(zoom.mean() - 1) < 0.02
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.15


def test_the_study_shears_too_little_to_see():
    images, _ = batch(20)
    found, _ = augmented(images, STUDY | {"zoom": 0, "flip": False})
    assert 0 < np.abs(found.astype(int) - images).max() <= 8


@pytest.mark.parametrize(("choice", "warps"), [(NONE, 0), (STUDY, 1), (STRONG, 1), (LIMITS, 1)])
def test_an_image_is_sampled_at_most_once(choice, warps, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "warp", lambda *given: calls.append(1) or warp(*given))
    augmented(batch(2)[0], choice)
    assert len(calls) == warps


def test_sharp_sampling_keeps_images_as_sharp_and_as_bright_as_they_were():
    images = np.random.default_rng(0).integers(64, 192, (200, 48, 48, 1), dtype=np.uint8)
    images = ndimage.gaussian_filter(images.astype(float), (0, 0.7, 0.7, 0)).astype(np.uint8)

    def sharpness(images):
        return np.abs(ndimage.laplace(images[:, 8:-8, 8:-8, 0].astype(float), axes=(1, 2))).mean()

    shifted = {sharp: augmented(images, NONE | {"shift": 0.05, "sharp": sharp})[0] for sharp in (False, True)}
    assert sharpness(shifted[False]) < 0.75 * sharpness(images)
    assert sharpness(shifted[True]) == pytest.approx(sharpness(images), rel=0.1)
    assert shifted[True].mean() == pytest.approx(images.mean(), abs=0.5)


@pytest.mark.parametrize("value", [5, 250])
def test_light_saturates_and_does_not_wrap_around(value):
    found, _ = augmented(np.full((200, 8, 8, 1), value, np.uint8), NONE | {"brightness": 0.15, "contrast": 0.25})
    assert np.abs(found.astype(int) - value).max() <= 0.15 * 255 + 1
    assert found.min() == 0 or found.max() == 255
    assert len(np.unique(found)) > 20


def test_contrast_turns_about_the_mean_of_the_image():
    images = batch(50)[0] // 2 + 64  # so that nothing saturates
    found, _ = augmented(images, NONE | {"contrast": 0.25})
    assert np.allclose(found.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.5)
    spread = found.std((1, 2, 3)) / images.std((1, 2, 3))
    assert 0.74 < spread.min() < 0.8
    assert 1.2 < spread.max() < 1.26


def test_erase_touches_the_share_of_images_that_it_says():
    images = np.full((2000, 24, 24, 3), 128, np.uint8)
    found, labels = augmented(images, NONE | {"erase": 0.25})
    changed = (found != images).any(3)
    touched = changed.any((1, 2))
    assert 0.21 < touched.mean() < 0.29
    area = changed[touched].mean((1, 2))
    assert area.min() > 0.01
    assert area.max() < 0.3
    assert labels[:, 0].tolist() == [1] * 2000


def test_what_is_erased_is_one_rectangle_of_noise():
    images = np.full((50, 24, 24, 1), 128, np.uint8)
    found, _ = augmented(images, NONE | {"erase": 1})
    for image in found[..., 0]:
        rows, columns = np.nonzero(image != 128)
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside != 128).mean() > 0.9
    assert found[found != 128].std() > 60


def test_mixup_mixes_labels_as_it_mixes_pixels_and_they_sum_to_one():
    labels = np.eye(7, dtype=np.float32)[np.arange(64) % 7]
    shade = (np.arange(64) * 4).astype(np.uint8)
    images = np.broadcast_to(shade[:, None, None, None], (64, 4, 4, 1)).copy()
    found, mixed = augmented(images, NONE | {"mixup": 0.4}, labels=labels)
    assert np.allclose(mixed.sum(1), 1, atol=1e-6)
    for row in range(64):
        other = 63 - row
        own = mixed[row, row % 7]
        assert own >= 0.5
        if row % 7 != other % 7:
            assert mixed[row, other % 7] == pytest.approx(1 - own, abs=1e-6)
            assert np.abs(found[row] - (own * shade[row] + (1 - own) * shade[other])).max() <= 0.51
    assert (mixed.max(1) < 0.95).sum() > 5


@pytest.mark.parametrize("choice", [STUDY, STRONG])
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(choice):
    images, labels = batch(16, channels=3)
    first, again = augmented(images, choice, labels=labels), augmented(images, choice, labels=labels)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()
    for seed in ((2, 2), (1, 3)):
        assert augmented(images, choice, seed, labels)[0].tobytes() != first[0].tobytes()


def test_images_of_a_batch_are_augmented_differently():
    images = np.repeat(batch(1)[0], 10, 0)
    found, _ = augmented(images, STUDY)
    assert len({image.tobytes() for image in found}) == 10


@pytest.mark.parametrize("choice", [STUDY, STRONG])
def test_images_keep_their_type_and_shape(choice):
    found, labels = augmented(batch(3, size=24, channels=3)[0], choice)
    assert (found.dtype, found.shape) == (np.uint8, (3, 24, 24, 3))
    assert (labels.dtype, labels.shape) == (np.float32, (3, 7))

"""Going on from an earlier model: its weights, or its predictions as softer labels."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from pipeline.learning import models
from pipeline.learning.arrays import Arrays, Split
from pipeline.learning.earlier import begin_with, caution, digest, run_id, softened_labels, softening
from pipeline.running.errors import UserError

BLOCKS = [{"width": 8, "stride": 2, "squeeze": False}]


def compact(crop=2, stem=8, channels=1, smooth=0.0):
    keras.utils.set_random_seed(crop + stem)
    return models.compact(crop, stem, BLOCKS, 4, 0.0, 48, channels, smooth)


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "run" / "train").mkdir(parents=True)
    model = compact()
    models.save(model, tmp_path / "run" / "train" / "model.keras")
    return model, tmp_path / "run"


@pytest.fixture
def train():
    """300 images of one size of pixels, and their emotions."""
    generator = np.random.default_rng(0)
    images = ndimage.zoom(generator.integers(0, 256, (300, 6, 6, 1)), (1, 8, 8, 1), order=1).astype(np.uint8)
    return Split(images, np.arange(300) % 7, pd.DataFrame({"id": np.arange(300)}))


def test_what_was_trained_beside_other_images_of_valid_or_test_is_told(saved, tmp_path):
    def of(valid, test, made_from="kept", **more):
        about = {"run_id": "a", "valid_digest": valid, "test_digest": test, "made_from": made_from, **more}
        (saved[1] / "train/run.json").write_text(json.dumps(about))
        return caution([str(saved[1])], arrays)

    arrays = Arrays(tmp_path, tmp_path, "sample", 48, 1, {"train": "0", "valid": "1", "test": "2"}, "kept")
    assert of("1", "2", "of then") == of("other", "other") == ""  # the latter: the same images, in another size
    for valid, test in (("1", "other"), ("other", "2")):
        assert "may have seen those of now" in of(valid, test, "of then")
    assert of("1", "2", caution="what it learned from is of no run") == "what it learned from is of no run"
    models.save(saved[0], tmp_path / "alone.keras")
    assert "alone.keras is of no run here" in caution(str(tmp_path / "alone.keras"), arrays)


def test_of_a_restored_model_it_is_told_by_the_images_it_was_trained_on(saved, tmp_path):
    arrays = Arrays(tmp_path, tmp_path, "sample", 48, 1, {"train": "0", "valid": "1", "test": "2"}, "kept")
    alone = tmp_path / "restored.keras"
    for trained_on, said in (
        ({"train_digest": "0", "caution": ""}, ""),  # train of now, which was kept apart from valid and test of now
        ({"train_digest": "other", "caution": ""}, "restored.keras was trained beside other images of valid and test"),
        ({"train_digest": "0", "caution": "its teacher is of no run"}, "its teacher is of no run"),
    ):
        models.save(saved[0], alone, trained_on)
        assert models.trained_on(alone) == trained_on
        found = caution(str(alone), arrays)
        assert said in found and bool(found) == bool(said)
    assert models.trained_on(tmp_path / "run/train/model.keras") == models.trained_on(tmp_path / "none.keras") == {}


@pytest.mark.parametrize("name", ["run", "run/train/model.keras"])
def test_a_model_begins_with_the_weights_of_a_run_or_file_whatever_its_crop(saved, train, name):
    earlier, folder = saved
    later = compact(crop=6, smooth=0.25)
    begin_with(later, str(folder.parent / name), train, seed=0)
    kernels = [[layer.kernel for layer in each.layers if hasattr(layer, "kernel")] for each in (earlier, later)]
    assert all(np.array_equal(a, b) for a, b in zip(*kernels, strict=True))


def test_what_a_model_begins_with_says_the_same_and_a_training_step_nearly(saved, train):
    earlier, folder = saved
    for layer in earlier.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # an identity, but for a channel that it mirrors
            layer.set_weights([np.r_[-1, np.ones(7)], np.arange(8), np.zeros(8), np.ones(8)])
    models.save(earlier, folder / "train" / "model.keras")
    later = compact()
    begin_with(later, str(folder), train, seed=0)
    said = earlier(train.images).numpy()
    assert np.ptp(said, axis=0).max() > 0.1, "the test shows nothing"
    assert np.abs(later(train.images).numpy() - said).max() < 1e-5
    assert np.abs(later(train.images, training=True).numpy() - said).max() < 1e-3
    assert np.abs(earlier(train.images, training=True).numpy() - said).max() > 0.1


def test_a_model_with_a_single_normalisation_begins_with_the_weights_too(tmp_path, train):
    layers = [keras.Input((48, 48, 1)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    earlier = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7)])
    models.save(earlier, tmp_path / "one.keras")
    later = keras.models.clone_model(earlier)
    begin_with(later, str(tmp_path / "one.keras"), train, seed=0)
    images = train.images.astype(np.float32)
    assert later(images).numpy() == pytest.approx(earlier(images).numpy(), abs=1e-3)
    assert later.layers[1].moving_mean.numpy().any(), "measured"


def own_net(**norm):
    """A net with a normalisation first and, in a model of its own within it, one made with `norm`."""
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(name="inner", **norm)])
    layers = [keras.Input((48, 48, 1), dtype="uint8"), keras.layers.Rescaling(1 / 9)]
    layers += [keras.layers.BatchNormalization(), inner, keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([*layers, keras.layers.Dense(7)]), inner.layers[1]


@pytest.mark.parametrize(
    ("norm", "measured"), [({}, True), ({"axis": 1}, True), ({"scale": False}, False), ({"center": False}, False)]
)
def test_a_normalisation_in_a_nested_model_is_measured_too_and_one_that_cannot_be_is_named(
    tmp_path, train, caplog, norm, measured
):
    earlier, _ = own_net(**norm)
    models.save(earlier, tmp_path / "own.keras")
    later, inner = own_net(**norm)
    begin_with(later, str(tmp_path / "own.keras"), train, seed=0)
    said = earlier(train.images).numpy()
    assert later(train.images).numpy() == pytest.approx(said, abs=1e-3)
    assert inner.moving_mean.numpy().any() == measured
    assert ("not measured on the new images: inner" in caplog.text) is not measured
    if measured:
        assert later(train.images, training=True).numpy() == pytest.approx(said, abs=1e-2)


def test_weights_of_another_architecture_or_channels_are_refused(saved):
    for other in (compact(stem=4), compact(channels=3)):
        with pytest.raises(UserError, match=r"initial_weights=.*run: its weights do not fit model=compact \(one of"):
            begin_with(other, str(saved[1]), None, seed=0)


def test_of_several_models_the_mean_of_the_weights_is_begun_with(saved, train):
    model, folder = saved
    models.save(other := compact(crop=6), folder / "other.keras")
    begin_with(later := compact(), [str(folder), str(folder / "other.keras")], train, seed=0)
    kernels = [
        [weight for weight in each.trainable_variables if weight.path.endswith("kernel")]
        for each in (model, other, later)
    ]
    for one, another, mean in zip(*kernels, strict=True):
        assert not np.allclose(one, another)
        assert np.asarray(mean) == pytest.approx((np.asarray(one) + np.asarray(another)) / 2, abs=1e-6)
    models.save(compact(stem=4), folder / "smaller.keras")
    with pytest.raises(UserError, match=r"initial_weights=.*smaller\.keras: its weights do not fit"):
        begin_with(later, [str(folder), str(folder / "smaller.keras")], train, seed=0)


@pytest.mark.parametrize("name", ["nothing", "."])
def test_where_no_model_is_the_choice_is_named(tmp_path, name):
    with pytest.raises(UserError, match=r"teacher=.*: no model there; expected the folder of a finished run"):
        digest("teacher", str(tmp_path / name))


def test_of_several_models_each_counts_in_the_digest_and_one_that_is_missing_is_named(saved):
    _, folder = saved
    models.save(compact(crop=6), folder / "other.keras")
    one, other = str(folder), str(folder / "other.keras")
    assert digest("teacher", [one, other]) == f"{digest('teacher', one)},{digest('teacher', other)}"
    assert digest("teacher", [one]) == digest("teacher", one)
    with pytest.raises(UserError, match=r"teacher=nothing: no model there"):
        digest("teacher", [one, "nothing"])


def test_the_run_that_a_folder_is_of_is_read_and_a_cut_file_is_named(saved):
    _, folder = saved
    assert run_id(str(folder)) == ""
    (folder / "train/run.json").write_text('{"run_id": "abc"}')
    assert run_id(str(folder)) == "abc"
    (folder / "train/run.json").write_text('{"run_id": "a')
    with pytest.raises(UserError, match=r"run.json: cannot be read, .*; train it again"):
        run_id(str(folder))


def test_softened_labels_are_the_share_asked_for_of_what_the_teacher_says_of_both_views(saved):
    teacher, folder = saved
    images = np.random.default_rng(0).integers(0, 256, (300, 48, 48, 1), dtype=np.uint8)
    labels = np.arange(300) % 7
    split = Split(images, labels, pd.DataFrame({"label": labels}))
    arrays = Arrays(folder, folder, "sample", 48, 1, {}, "")
    said = (teacher(images).numpy() + teacher(images[:, :, ::-1]).numpy()) / 2
    for share in (0, 0.3, 1):
        found = softened_labels(split, str(folder), share, arrays)
        assert found.dtype == np.float32
        assert found == pytest.approx((1 - share) * np.eye(7)[labels] + share * said, abs=1e-5)
    other = compact(crop=6)
    models.save(other, folder / "other.keras")
    said = (said + (other(images).numpy() + other(images[:, :, ::-1]).numpy()) / 2) / 2
    found = softened_labels(split, [str(folder), str(folder / "other.keras")], 0.3, arrays)
    assert found == pytest.approx(0.7 * np.eye(7)[labels] + 0.3 * said, abs=1e-5), "of several, the mean"


def test_softened_batches_are_the_share_asked_for_of_what_the_teachers_say_of_the_batch(saved):
    teacher, folder = saved
    other = compact(crop=6)
    models.save(other, folder / "other.keras")
    images = np.random.default_rng(0).integers(0, 256, (9, 48, 48, 1), dtype=np.uint8)
    labels = np.random.default_rng(1).dirichlet(np.ones(7), 9).astype(np.float32)
    arrays = Arrays(folder, folder, "sample", 48, 1, {}, "")
    said = (teacher(images).numpy() + other(images).numpy()) / 2
    several = [str(folder), str(folder / "other.keras")]
    for share in (0, 0.3, 1):
        found = softening(several, share, arrays, "float32")(images, labels)
        assert found.numpy() == pytest.approx((1 - share) * labels + share * said, abs=1e-5)
    found = softening(several, 1, arrays, "mixed_bfloat16")(images, labels).numpy()
    assert found.dtype == np.float32 and 1e-5 < np.abs(found - said).max() < 0.02


def test_a_teacher_that_takes_other_images_is_refused(saved):
    images = np.zeros((2, 48, 48, 3), np.uint8)
    split = Split(images, np.zeros(2, np.int64), pd.DataFrame({"label": [0, 0]}))
    with pytest.raises(UserError, match=r"teacher=.*takes images of shape \(48, 48, 1\), expected \(48, 48, 3\)"):
        softened_labels(split, str(saved[1]), 0.5, Arrays(saved[1], saved[1], "sample", 48, 3, {}, ""))
    with pytest.raises(UserError, match=r"teacher=.*takes images of shape \(48, 48, 1\), expected \(48, 48, 3\)"):
        softening(str(saved[1]), 0.5, Arrays(saved[1], saved[1], "sample", 48, 3, {}, ""), "float32")

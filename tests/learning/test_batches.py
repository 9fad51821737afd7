"""Batches: evaluation sees every image once; a training's batches depend on its seed and their position alone."""

from itertools import chain

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from pipeline.learning.arrays import Split
from pipeline.learning.batches import evaluation_batches, steps_per_epoch, training_batches
from pipeline.learning.fit import class_weights
from pipeline.running.cli import CONF

NONE, STRONG = (
    OmegaConf.to_container(OmegaConf.load(CONF / "augment" / f"{name}.yaml")) for name in ("none", "strong")
)


@pytest.fixture(scope="module")
def split():
    """22 images; all pixels of the k-th are k, and its class is k modulo 7."""
    images = np.broadcast_to(np.arange(22, dtype=np.uint8)[:, None, None, None], (22, 6, 6, 3)).copy()
    return Split(images, np.arange(22) % 7, pd.DataFrame({"label": np.arange(22) % 7}))


def numbers(batches):
    """The images' numbers, a list per batch; on the way, each has its own label."""
    found = []
    for images, labels in batches.as_numpy_iterator():
        found.append(images[:, 0, 0, 0].tolist())
        assert (images.dtype, labels.dtype) == (np.uint8, np.float32)
        assert np.array_equal(labels, np.eye(7)[images[:, 0, 0, 0] % 7])
    return found


def epochs(split, first, last, batch_size=5, choice=NONE, seed=3, even=False):
    """The epochs `first` to `last` - 1, each a list of its batches' image numbers."""
    steps = steps_per_epoch(len(split.images), batch_size)
    found = numbers(training_batches(split, batch_size, choice, even, seed, first, last))
    return [found[start : start + steps] for start in range(0, len(found), steps)]


def joined(lists):
    return list(chain.from_iterable(lists))


def content(batches):
    return [array.tobytes() for pair in batches.as_numpy_iterator() for array in pair]


def test_an_image_is_weighed_by_its_own_label_whatever_a_teacher_says_of_it(split):
    labels = np.array([0] * 16 + [3] * 4 + [6] * 2)
    weights = class_weights(labels)
    assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1)
    assert [weights[labels == label].sum() for label in (0, 3, 6)] == pytest.approx([22 / 3] * 3)
    said = np.full((22, 7), 0.05, np.float32)
    said[:, 0] = 0.7  # of every image
    rows = split.images, labels, split.index
    batches = training_batches(Split(*rows), 5, STRONG | {"mixup": 0}, False, 3, 0, 2, said, weights)
    batches_of = training_batches(Split(*rows), 5, NONE, False, 3, 0, 2, said, weights).as_numpy_iterator()
    for (_, _, weight), (images, _, _) in zip(batches.as_numpy_iterator(), batches_of, strict=True):
        assert weight.tolist() == weights[images[:, 0, 0, 0]].tolist()


@pytest.mark.parametrize("batch_size", [1, 5, 11, 22, 100])
def test_evaluation_sees_every_image_once_in_order(split, batch_size):
    batches = evaluation_batches(split, batch_size)
    found = numbers(batches)
    assert joined(found) == list(range(22))
    assert {len(batch) for batch in found[:-1]} <= {batch_size}
    assert len(batches) == len(found)


def test_no_image_is_twice_in_an_epoch_and_batches_are_full(split):
    for epoch in epochs(split, 0, 6):
        assert [len(batch) for batch in epoch] == [5] * 4
        assert len(set(joined(epoch))) == 20


def test_every_epoch_has_its_own_order_and_leaves_others_out(split):
    found = [joined(epoch) for epoch in epochs(split, 0, 8)]
    assert len({tuple(epoch) for epoch in found}) == 8
    assert len({frozenset(epoch) for epoch in found}) > 1
    assert set(joined(found)) == set(range(22))
    assert all(epoch != sorted(epoch) for epoch in found)


def test_an_even_epoch_has_an_equal_share_of_each_emotion_there_is(split):
    labels = np.array([0] * 15 + [1] * 4 + [3] * 2)
    uneven = Split(split.images[:21], labels, split.index[:21])
    batches = training_batches(uneven, 7, NONE, True, 3, 0, 2)
    rows = [images[:, 0, 0, 0].tolist() for images, _ in batches.as_numpy_iterator()]
    first, second = joined(rows[:3]), joined(rows[3:])
    for epoch in (first, second):
        assert np.bincount(labels[epoch]).tolist() == [7, 7, 0, 7]
        uses = np.bincount(epoch, minlength=21)
        assert (uses[:15].max(), uses[15:19].min(), uses[15:19].max(), uses[19:].min()) == (1, 1, 2, 3)
    assert first != second
    resumed = training_batches(uneven, 7, NONE, True, 3, 1, 2).as_numpy_iterator()
    assert joined(images[:, 0, 0, 0].tolist() for images, _ in resumed) == second


def test_images_do_not_stay_in_the_same_batch(split):
    first, second = epochs(split, 0, 2)
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_softened_labels_stay_with_their_images(split):
    softened = np.random.default_rng(0).random((22, 7), np.float32)
    for images, labels in training_batches(split, 5, NONE, False, 3, 0, 2, softened).as_numpy_iterator():
        assert np.array_equal(labels, softened[images[:, 0, 0, 0]])


@pytest.mark.parametrize("choice", [NONE, STRONG])
def test_resumed_epochs_are_those_of_the_uninterrupted_training(split, choice):
    whole = content(training_batches(split, 5, choice, False, 3, 0, 4))
    per_epoch = len(whole) // 4
    for first in (1, 3):
        assert content(training_batches(split, 5, choice, False, 3, first, 4)) == whole[first * per_epoch :]


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(split):
    first = content(training_batches(split, 5, STRONG, False, 3, 0, 2))
    assert content(training_batches(split, 5, STRONG, False, 3, 0, 2)) == first
    assert not set(first[::2]) & set(content(training_batches(split, 5, STRONG, False, 4, 0, 2))[::2])
    assert epochs(split, 0, 1, seed=3) != epochs(split, 0, 1, seed=4)


def test_fewer_images_than_a_batch_are_one_batch(split):
    assert steps_per_epoch(22, 100) == 1
    found = epochs(split, 0, 3, batch_size=100)
    assert [len(epoch) for epoch in found] == [1, 1, 1]
    assert all(sorted(epoch[0]) == list(range(22)) for epoch in found)


def test_the_largest_seed_that_is_allowed_works(split):
    assert len(epochs(split, 0, 1, seed=2**31 - 1)) == 1


def test_arrays_are_read_from_the_disk_as_they_are(split, tmp_path):
    np.save(tmp_path / "images.npy", split.images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), split.labels, split.index)
    trained = [content(training_batches(each, 5, NONE, False, 3, 0, 2)) for each in (mapped, split)]
    assert trained[0] == trained[1]
    assert content(evaluation_batches(mapped, 5)) == content(evaluation_batches(split, 5))


def test_the_end_of_an_iterator_waits_for_no_autotuning(split):
    for batches in (training_batches(split, 5, NONE, False, 3, 0, 2), evaluation_batches(split, 5)):
        assert batches.options().autotune.enabled is False
        assert batches.cardinality() > 0  # without which Keras looks for the end at every epoch


def test_a_batch_is_not_in_the_order_in_which_it_is_read(split):
    batches = joined(epochs(split, 0, 2))
    assert any(batch != sorted(batch) for batch in batches)

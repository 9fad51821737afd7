"""tf.data batches from memory-mapped arrays: what trains a model, and what it is evaluated on."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import tensorflow as tf

from pipeline.labels import LABELS
from pipeline.learning.arrays import Split
from pipeline.learning.augment import augment
from pipeline.running.cores import cores


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Training steps of one epoch. The incomplete last batch is left out; every epoch shuffles anew."""
    return max(images // batch_size, 1)


def training_batches(
    split: Split,
    batch_size: int,
    choice: Mapping,
    even: bool,
    seed: int,
    first_epoch: int,
    epochs: int,
    softened: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented batches (uint8 [B, H, W, C], float32 [B, 7]) of the epochs `first_epoch` to `epochs` - 1.

    `choice` is a file of conf/augment/. With `even` an epoch has as many images of each emotion, those of rare ones
    more than once and not all of the frequent ones; without it, every image at most once. Order and augmentation of a
    batch depend on `seed` and its position alone, so that a resumed training sees what an uninterrupted one would have
    seen. `softened`, float32 [N, 7], takes the place of the one-hot labels. With `weights`, float32 [N], a batch has
    those of its images, float32 [B], as a third part: of each image's own label, whatever softened it or was mixed in.
    """
    labels = np.eye(len(LABELS), dtype=np.float32)[split.labels] if softened is None else softened
    weights_of = np.ones(len(labels), np.float32) if weights is None else weights
    count = len(split.images)
    steps = steps_per_epoch(count, batch_size)
    size = min(batch_size, count)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        generator = np.random.default_rng([seed, epoch])
        return _even_order(split.labels, generator) if even else generator.permutation(count)

    def gather(step: np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, position = divmod(int(step), steps)
        # Sorted within the batch: the memory map is then read in one direction.
        rows = np.sort(order(epoch)[position * size : (position + 1) * size])
        rows = np.random.default_rng([seed, int(step)]).permutation(rows)
        return split.images[rows], labels[rows], weights_of[rows]

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, wanted, weight = tf.numpy_function(gather, [step], [tf.uint8, tf.float32, tf.float32], stateful=False)
        images = tf.ensure_shape(images, (size, *split.images.shape[1:]))
        wanted = tf.ensure_shape(wanted, (size, len(LABELS)))
        made = augment(images, wanted, tf.stack([seed, tf.cast(step, tf.int32)]), choice)
        return made if weights is None else (*made, tf.ensure_shape(weight, (size,)))

    return _ahead(tf.data.Dataset.range(first_epoch * steps, epochs * steps).map(batch, cores(), deterministic=True))


def _even_order(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows int64 [N] of an epoch with an equal share of each emotion there is, its images used equally often, +-1."""
    classes = np.unique(labels)
    share = -(-len(labels) // len(classes))
    rows = [np.resize(generator.permutation(np.flatnonzero(labels == label)), share) for label in classes]
    return generator.permutation(np.concatenate(rows))[: len(labels)]


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Every image of the split once, in its order, with one-hot labels; the last batch may be smaller."""
    count = len(split.images)

    def gather(start: np.int64) -> tuple[np.ndarray, np.ndarray]:
        return split.images[start : start + batch_size], split.labels[start : start + batch_size]

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(gather, [start], [tf.uint8, tf.int64], stateful=False)
        images = tf.ensure_shape(images, (None, *split.images.shape[1:]))
        return images, tf.one_hot(tf.ensure_shape(labels, (None,)), len(LABELS))

    return _ahead(tf.data.Dataset.range(0, count, batch_size).map(batch, cores(), deterministic=True))


def _ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches made while the ones before them are used, without autotuning.

    The thread that autotunes sleeps longer and longer between its looks, and the end of an iterator can wait for one
    whole sleep: up to a minute after the last epoch, in which nothing happens.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)

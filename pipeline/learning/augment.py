"""Augmentation of a training batch: one affine warp for all geometry, then light, erasing and mixup.

The geometric choices (flip, rotation, shear, zoom, shift) are multiplied into one matrix per image and the images are
sampled once. That is several times faster than a chain of layers, and blurs once instead of five times.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow as tf

COLUMNS = ("flip", "rotation", "shift_x", "shift_y", "shear", "zoom_x", "zoom_y", "brightness", "contrast")
ERASE_COLUMNS = ("chance", "area", "aspect", "x", "y")


def augment(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, choice: Mapping) -> tuple[tf.Tensor, tf.Tensor]:
    """Augmented copy of a batch: images uint8 [N, H, W, C], labels float32 [N, 7] (one-hot; mixed under mixup).

    `seed` is int32 [2]; the same seed gives the same result (stateless draws), whatever ran before. `choice` is a file
    of conf/augment/. Borders are filled with the nearest pixel, as `ImageDataGenerator` does.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    draws = tf.random.stateless_uniform([tf.shape(images)[0], len(COLUMNS)], seeds[0], -1.0, 1.0)
    draw = dict(zip(COLUMNS, tf.unstack(draws, axis=1), strict=True))
    if any(choice[key] for key in ("flip", "rotation", "shift", "shear", "zoom")):
        images = warp(images, _matrices(draw, choice, images.shape[1], images.shape[2]), choice["sharp"])
    if choice["brightness"] or choice["contrast"]:
        images = _light(images, draw, choice)
    if choice["erase"]:
        images = _erase(images, seeds[1], seeds[2], choice["erase"])
    if choice["mixup"]:
        images, labels = _mixup(images, labels, seeds[3], choice["mixup"])
    return images, labels


def warp(images: tf.Tensor, matrices: tf.Tensor, sharp: bool) -> tf.Tensor:
    """Sample uint8 images [N, H, W, C] at `matrices` [N, 2, 3], the affine map from output (x, y) to input.

    Bilinearly, or `sharp`: by Lanczos's window (Duchon 1979), which leaves an image as sharp as it was. What is
    bilinearly sampled is blurred, and a model that has seen nothing else is worse on images as they come. By OpenCV,
    which rounds to the nearest gray value, at places rounded to 1/32 of a pixel: several times faster than
    TensorFlow's own projective transform, and `numpy_function` lets other threads run meanwhile.
    """
    warped = tf.numpy_function(_sampled, [images, matrices, sharp], tf.uint8, stateful=False)
    return tf.ensure_shape(warped, images.shape)


def _sampled(images: np.ndarray, matrices: np.ndarray, sharp: bool) -> np.ndarray:
    warped, size = np.empty_like(images), images.shape[2:0:-1]
    how = (cv2.INTER_LANCZOS4 if sharp else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    for image, matrix, out in zip(images, matrices, warped, strict=True):
        cv2.warpAffine(image, matrix, size, out, how, cv2.BORDER_REPLICATE)
    return warped


def _matrices(draw: Mapping[str, tf.Tensor], choice: Mapping, height: int, width: int) -> tf.Tensor:
    """One output-to-input map per image, float32 [N, 2, 3], about the image's centre.

    Rotation, shear and zoom have the meaning they have in `ImageDataGenerator`: shear in degrees ([[1, -sin], [0, cos]]
    on (x, y)), zoom one factor per axis. A shift moves the whole result.
    """
    degrees = np.pi / 180
    angle, shear = draw["rotation"] * choice["rotation"] * degrees, draw["shear"] * choice["shear"] * degrees
    zoom_x, zoom_y = 1 + draw["zoom_x"] * choice["zoom"], 1 + draw["zoom_y"] * choice["zoom"]
    mirror = tf.where(draw["flip"] < 0, -1.0, 1.0) if choice["flip"] else tf.ones_like(angle)
    # rotation @ shear @ zoom @ mirror on (x, y)
    a, b = mirror * zoom_x * tf.cos(angle), -zoom_y * tf.sin(angle + shear)
    c, d = mirror * zoom_x * tf.sin(angle), zoom_y * tf.cos(angle + shear)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = centre_x + draw["shift_x"] * choice["shift"] * width
    shift_y = centre_y + draw["shift_y"] * choice["shift"] * height
    rows = [a, b, shift_x - a * centre_x - b * centre_y, c, d, shift_y - c * centre_x - d * centre_y]
    return tf.reshape(tf.stack(rows, axis=1), [-1, 2, 3])


def _light(images: tf.Tensor, draw: Mapping[str, tf.Tensor], choice: Mapping) -> tf.Tensor:
    pixels = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(pixels, axis=[1, 2, 3], keepdims=True)
    contrast = (1 + draw["contrast"] * choice["contrast"])[:, None, None, None]
    brightness = (draw["brightness"] * choice["brightness"] * 255)[:, None, None, None]
    return _uint8((pixels - mean) * contrast + mean + brightness)


def _erase(images: tf.Tensor, seed: tf.Tensor, noise_seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Random erasing (Zhong et al. 2020): area 2-25 % of the image, aspect 0.3-3.3, filled with uniform noise."""
    shape = tf.shape(images)
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draws = tf.random.stateless_uniform([shape[0], len(ERASE_COLUMNS)], seed)
    draw = dict(zip(ERASE_COLUMNS, tf.unstack(draws, axis=1), strict=True))
    area, aspect = 0.02 + 0.23 * draw["area"], tf.exp((2 * draw["aspect"] - 1) * 1.2)
    tall, wide = tf.sqrt(area / aspect) * height, tf.sqrt(area * aspect) * width
    top, left = draw["y"] * (height - tall), draw["x"] * (width - wide)
    rows, columns = tf.range(height)[None, :], tf.range(width)[None, :]
    inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    chosen = (draw["chance"] < probability)[:, None, None, None]
    hole = chosen & inside_rows[:, :, None, None] & inside_columns[:, None, :, None]
    noise = tf.cast(tf.random.stateless_uniform(shape, noise_seed, 0, 256, tf.int32), tf.uint8)
    return tf.where(hole, noise, images)


def _mixup(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """mixup (Zhang et al. 2018) with one Beta(alpha, alpha) share per image; the batch is already shuffled."""
    seeds = tf.random.experimental.stateless_split(seed, 2)
    count = tf.shape(images)[0]
    one, other = (tf.random.stateless_gamma([count], each, alpha) for each in tf.unstack(seeds))
    share = one / tf.maximum(one + other, 1e-12)
    share = tf.maximum(share, 1 - share)
    weight = share[:, None, None, None]
    pixels = tf.cast(images, tf.float32)
    mixed = _uint8(weight * pixels + (1 - weight) * tf.reverse(pixels, [0]))
    return mixed, share[:, None] * labels + (1 - share[:, None]) * tf.reverse(labels, [0])


def _uint8(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

"""What an image looks like, as numbers that survive recompression, resizing, mirroring and a small crop.

Both are taken from the discrete cosine transform (type 2, orthonormal) of the luminance at 48x48.
"""

from functools import cache

import numpy as np

from pipeline.images.facts import SIDE

TERMS = 16  # lowest frequencies per axis that a fingerprint holds
SIZE = TERMS * TERMS


def transforms(small: np.ndarray, crops: list[float]) -> np.ndarray:
    """float32 [N, 1 + crops, 16, 16]: lowest terms of uint8 [N, 48, 48] and of it with each of `crops` cut off."""
    levels = small.astype(np.float32)
    return np.stack([rows @ levels @ rows.T for rows in (_rows(crop) for crop in (0.0, *crops))], 1)


def perceptual_hashes(terms: np.ndarray) -> np.ndarray:
    """64-bit pHash of `transforms`, uint64 [N]: which of the 8x8 lowest terms exceed their median.

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1. Bit 63 is the
    first term.
    """
    lowest = terms[:, 0, :8, :8].reshape(-1, 64)
    bits = lowest > np.median(lowest, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def fingerprints(terms: np.ndarray) -> np.ndarray:
    """int8 [N, views, 256] of `transforms`: the image, and it with each share cut off all round.

    The 16x16 lowest terms, made about equally strong: natural images fall off with frequency f as 1/f (Field, 1987), so
    a term is multiplied by f^1.3, and by a Gaussian that fades out what compression changes. Brightness and shading
    (f < 2) are left out. The cosine between two fingerprints is 1 for the same picture whatever its contrast.
    """
    across = np.arange(TERMS)
    frequency = np.hypot(across[:, None], across)
    weight = np.where(frequency < 2, 0, frequency**1.3 * np.exp(-((frequency / 12) ** 2))).astype(np.float32)
    weighted = (terms * weight).reshape(*terms.shape[:2], SIZE)
    largest = np.maximum(np.abs(weighted).max(2, keepdims=True), 1e-6)
    return np.rint(weighted * (127 / largest)).astype(np.int8)


def mirrored(prints: np.ndarray) -> np.ndarray:
    """The fingerprints [..., 256] of the images with left and right swapped: odd terms across change their sign."""
    signs = np.tile(np.where(np.arange(TERMS) % 2, -1, 1), TERMS).astype(prints.dtype)
    return prints * signs


@cache
def _rows(crop: float) -> np.ndarray:
    """[16, 48]: the first rows of the transform of a signal of which the share `crop` is cut off at both ends.

    What is left is stretched to the full length by linear interpolation.
    """
    places = (np.arange(SIDE) + 0.5) * (1 - 2 * crop) + crop * SIDE - 0.5
    stretch = np.maximum(0, 1 - np.abs(places.clip(0, SIDE - 1)[:, None] - np.arange(SIDE)))
    cosines = np.cos(np.pi / SIDE * np.outer(np.arange(TERMS), np.arange(SIDE) + 0.5)) * np.sqrt(2 / SIDE)
    cosines[0] /= np.sqrt(2)
    return (cosines @ stretch).astype(np.float32)

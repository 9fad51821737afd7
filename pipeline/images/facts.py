"""What is known of one decoded image: a record of plain values. Pure.

Figures of luminance are taken on the image at 48x48, the size that models see, so that they compare across sizes.
"""

import hashlib
from functools import cache

import numpy as np
from PIL import Image

from pipeline.images.decode import Decoded, Rejected, tint

SIDE = 48  # pixels, of the small gray image that figures, placeholders and fingerprints are taken from

UNKNOWN = dict.fromkeys(("bytes", "format", "mode", "width", "height", "frames", "gray", "sha256", "small"))


def facts(decoded: Decoded | Rejected, size: int | None, gray_tolerance: int) -> dict:
    """The record of one image: UNKNOWN's keys and `rejected`, "" or the reason why it could not be decoded.

    bytes: `size`, of its file; format by content; mode as stored; width and height upright; frames, over 1 for an
    animation; gray, decided from the pixels; sha256 of the pixels; small, 48x48 bytes of luminance. What could not be
    decoded has `bytes` only.
    """
    if isinstance(decoded, Rejected):
        return UNKNOWN | {"bytes": size, "rejected": decoded.reason}
    image = decoded.image
    pixels, colour = _pixels(image)
    luminance = image if image.mode == "L" else image.convert("L")
    if luminance.size != (SIDE, SIDE):
        # a large one first by the mean of whole blocks, which is twice as fast as bicubic alone
        luminance = luminance.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=1.0)
    return {
        "bytes": size,
        "format": decoded.format,
        "mode": decoded.mode,
        "width": image.width,
        "height": image.height,
        "frames": decoded.frames,
        "gray": colour <= gray_tolerance,
        "sha256": _sha256(pixels, image.size, colour > 0),
        "small": pixels if luminance is image else luminance.tobytes(),
        "rejected": "",
    }


def pixel_hash(image: Image.Image) -> str:
    """SHA-256 hex of the pixels of an image, mode L or RGB, and its shape: equal for equal ones, however stored."""
    pixels, colour = _pixels(image)
    return _sha256(pixels, image.size, colour > 0)


def _pixels(image: Image.Image) -> tuple[bytes, int]:
    """Bytes of an image, one for each pixel where its channels are equal, else three; and its tint, 0 to 255."""
    pixels = image.tobytes()  # taken out once, since that costs as much as hashing them
    if image.mode == "L":
        return pixels, 0
    rgb = np.frombuffer(pixels, np.uint8).reshape(image.height, image.width, 3)
    colour = tint(rgb)
    return pixels if colour else rgb[..., 0].tobytes(), colour


def _sha256(pixels: bytes, size: tuple[int, int], colour: bool) -> str:
    digest = hashlib.sha256(repr((size[1], size[0], 3) if colour else (size[1], size[0])).encode())
    digest.update(pixels)
    return digest.hexdigest()


def histograms(small: np.ndarray) -> np.ndarray:
    """int64 [N, 256]: how many pixels of each uint8 [N, 48, 48] have each luminance."""
    rows = np.arange(len(small), dtype=np.int64)[:, None] * 256
    return np.bincount((small.reshape(len(small), -1) + rows).ravel(), minlength=len(small) * 256).reshape(-1, 256)


def figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of histograms [N, 256] of luminance, each float32 [N].

    mean and std, 0 to 255. spread, the lightest minus the darkest luminance after 2 % of the pixels at either end are
    left out, 0 to 255. entropy, 0 to 8 bits (Shannon, 1948).
    """
    levels, total = np.arange(256), np.maximum(counts.sum(1), 1)
    mean, square = counts @ levels / total, counts @ levels**2 / total
    reached = counts.cumsum(1)
    spread = (reached < 0.98 * total[:, None]).sum(1) - (reached < 0.02 * total[:, None]).sum(1)
    entropy = np.log2(total) - _times_log2(int(total.max()))[counts].sum(1) / total
    std = np.sqrt(np.maximum(square - mean**2, 0))
    found = {"mean": mean, "std": std, "spread": spread, "entropy": np.maximum(entropy, 0)}
    return {name: values.astype(np.float32) for name, values in found.items()}


@cache
def _times_log2(most: int) -> np.ndarray:
    """n log2 n for n from 0 to `most`: looked up, since logarithms of all histograms cost as much as all else."""
    n = np.arange(most + 1)
    return n * np.log2(np.maximum(n, 1))

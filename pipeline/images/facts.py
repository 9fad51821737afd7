"""What is known of one image from its bytes alone: a record of plain values. Pure, one decode.

Figures of luminance are taken on the image at 48x48, the size that models see, so that they compare across sizes.
"""

import hashlib

import numpy as np
from PIL import Image

from pipeline.images.decode import Rejected, decode, is_gray

SIDE = 48  # pixels, of the small gray image that figures, placeholders and fingerprints are taken from

UNKNOWN = dict.fromkeys(("bytes", "format", "mode", "width", "height", "frames", "gray", "sha256", "small"))


def facts(data: bytes, max_pixels: int, gray_tolerance: int) -> dict:
    """The record of one image: UNKNOWN's keys and `rejected`, "" or a reason of pipeline.images.decode.

    bytes; format by content; mode as stored; width and height upright; frames, over 1 for an animation; gray, decided
    from the pixels; sha256 of the pixels; small, uint8 [48, 48] luminance. What could not be decoded has `bytes` only.
    """
    decoded = decode(data, max_pixels)
    if isinstance(decoded, Rejected):
        return unread(decoded.reason, len(data))
    image = decoded.image
    pixels = np.asarray(image)
    luminance = image if image.mode == "L" else image.convert("L")
    if luminance.size != (SIDE, SIDE):
        luminance = luminance.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    small = pixels if luminance is image else np.asarray(luminance)
    return {
        "bytes": len(data),
        "format": decoded.format,
        "mode": decoded.mode,
        "width": image.width,
        "height": image.height,
        "frames": decoded.frames,
        "gray": image.mode == "L" or is_gray(pixels, gray_tolerance),
        "sha256": pixel_hash(pixels),
        "small": small,
        "rejected": "",
    }


def unread(reason: str, size: int | None = None) -> dict:
    """The record of an image whose pixels are not known, for this reason."""
    return UNKNOWN | {"bytes": size, "rejected": reason}


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 hex of uint8 [H, W] gray or [H, W, 3] RGB and the shape: equal for equal pixels, however stored.

    RGB whose channels are equal has the hash of that gray.
    """
    if pixels.ndim == 3 and is_gray(pixels, 0):
        pixels = pixels[..., 0]
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def histograms(small: np.ndarray) -> np.ndarray:
    """int64 [N, 256]: how many pixels of each uint8 [N, 48, 48] have each luminance."""
    rows = np.arange(len(small), dtype=np.int64)[:, None] * 256
    return np.bincount((small.reshape(len(small), -1) + rows).ravel(), minlength=len(small) * 256).reshape(-1, 256)


def figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of histograms [N, 256] of luminance, each float32 [N].

    mean and std, 0 to 255. spread, the lightest minus the darkest luminance after 2 % of the pixels at either end are
    left out, 0 to 255. entropy, 0 to 8 bits (Shannon, 1948).
    """
    levels, share = np.arange(256), counts / np.maximum(counts.sum(1, keepdims=True), 1)
    mean = share @ levels
    variance = np.maximum(share @ levels**2 - mean**2, 0)
    reached = share.cumsum(1)
    spread = (reached < 0.98).sum(1) - (reached < 0.02).sum(1)
    logarithm = np.log2(share, where=share > 0, out=np.zeros_like(share))
    found = {"mean": mean, "std": np.sqrt(variance), "spread": spread, "entropy": -(share * logarithm).sum(1)}
    return {name: values.astype(np.float32) for name, values in found.items()}

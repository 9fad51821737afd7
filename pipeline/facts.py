"""What is known of one image from its bytes alone: a record of plain values. Pure, one decode."""

import hashlib
from functools import cache

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.images import Rejected, decode, is_gray

SCHEMA = pa.schema(
    [
        ("bytes", pa.int64()),
        ("format", pa.string()),  # by content
        ("mode", pa.string()),  # Pillow's name of the stored pixels
        ("width", pa.int32()),  # upright
        ("height", pa.int32()),
        ("frames", pa.int32()),  # over 1: animated, the first one is used
        ("gray", pa.bool_()),  # decided from the pixels
        ("sha256", pa.string()),  # hex, of the upright RGB pixels and their shape
        ("phash", pa.uint64()),
        ("mean", pa.float32()),  # of luminance, 0 to 255
        ("std", pa.float32()),
        ("rejected", pa.string()),  # "" or a reason of pipeline.images
    ]
)

_UNKNOWN = dict.fromkeys(SCHEMA.names)


def facts(data: bytes, max_pixels: int, gray_tolerance: int) -> dict:
    """The record of SCHEMA for the bytes of one image; of one that can't be decoded only `bytes` and `rejected`."""
    decoded = decode(data, max_pixels)
    if isinstance(decoded, Rejected):
        return _UNKNOWN | {"bytes": len(data), "rejected": decoded.reason}
    rgb, luminance = decoded.rgb, decoded.image.convert("L")
    mean, std = moments(np.array(luminance.histogram()))
    return {
        "bytes": len(data),
        "format": decoded.format,
        "mode": decoded.mode,
        "width": decoded.image.width,
        "height": decoded.image.height,
        "frames": decoded.frames,
        "gray": decoded.mode == "L" or is_gray(rgb, gray_tolerance),
        "sha256": pixel_hash(rgb),
        "phash": perceptual_hash(luminance),
        "mean": mean,
        "std": std,
        "rejected": "",
    }


def unread(reason: str, size: int | None = None) -> dict:
    """The record of an image whose bytes were not looked at, for this reason."""
    return _UNKNOWN | {"bytes": size, "rejected": reason}


def pixel_hash(rgb: np.ndarray) -> str:
    """SHA-256 hex of uint8 [H, W, 3] and its shape: equal for equal pixels, however they are stored."""
    return hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def moments(counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, 0 to 255, of luminance with the histogram `counts` [256]."""
    levels, total = np.arange(256), counts.sum()
    mean = counts @ levels / total
    return float(mean), float(np.sqrt(max(counts @ levels**2 / total - mean**2, 0.0)))


def perceptual_hash(luminance: Image.Image) -> int:
    """64-bit pHash of a mode-L image, as ImageHash's `phash`: which of the 8x8 lowest DCT terms exceed their median.

    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1; one matrix product
    here, since ImageHash takes longer for it than decoding a 48x48 JPEG does. Bit 63 is the first term.
    """
    pixels = np.asarray(luminance.resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    terms = _dct_rows() @ pixels @ _dct_rows().T
    ordered = np.sort(terms, axis=None)
    bits = terms > (ordered[31] + ordered[32]) / 2
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _dct_rows() -> np.ndarray:
    """The first 8 rows of the 32-point DCT-II."""
    return np.cos(np.pi / 32 * np.outer(np.arange(8), np.arange(32) + 0.5)).astype(np.float32)

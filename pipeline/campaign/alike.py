"""Which pictures of a campaign show the same: one visual in several sizes and formats is seen once, not often."""

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.images.facts import SIDE
from pipeline.images.fingerprints import SIZE, fingerprints, transforms

# Width to height of the formats that ads are cut to. A picture is compared as it is with others as they are and as they
# would be once cut to each of these about their middle.
FORMATS = (1 / 1, 4 / 5, 3 / 4, 2 / 3, 9 / 16, 4 / 3, 3 / 2, 16 / 9, 1.91 / 1)
BLOCK = 256  # pictures that are compared with all at once


def looks(rgb: np.ndarray) -> np.ndarray:
    """Fingerprints int8 [1 + formats, 256] of a picture, uint8 [height, width, 3]: as it is, and cut to each format."""
    height, width = rgb.shape[:2]
    scale = 4 * SIDE / min(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    cuts = [gray, *(_cut(gray, aspect) for aspect in FORMATS)]
    small = np.stack([cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for cut in cuts])
    return fingerprints(transforms(small, []))[:, 0]


def groups(pictures: Sequence[np.ndarray], similarity: float) -> list[int]:
    """Of each picture, given by its `looks`, the number of the first that shows the same, its own where none does.

    Two show the same where a cosine of one as it is with a look of the other is at least `similarity`; what is the same
    as a third is the same.
    """
    if not pictures:
        return []
    unit = np.stack(pictures).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True).clip(1e-6)
    whole, every = unit[:, 0], unit.reshape(-1, SIZE)
    first = np.arange(len(pictures))
    for start in range(0, len(pictures), BLOCK):
        alike = (whole[start : start + BLOCK] @ every.T).reshape(-1, *unit.shape[:2]).max(2) >= similarity
        for row, others in enumerate(alike, start):
            joined = np.unique(np.append(first[others], first[row]))
            if len(joined) > 1:
                first[np.isin(first, joined)] = joined[0]
    return first.tolist()


def _cut(gray: np.ndarray, aspect: float) -> np.ndarray:
    """The largest part of that width to height about the middle."""
    height, width = gray.shape
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - max(1, wide)) // 2, (height - max(1, high)) // 2
    return gray[top : top + max(1, high), left : left + max(1, wide)]

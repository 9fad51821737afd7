"""Pairs of images that show the same picture, found without comparing all pairs.

Locality-sensitive hashing by random hyperplanes (Charikar, 2002) with multi-probing (Lv et al., 2007): the sign of a
fingerprint on each of a few random directions makes a key; pictures that are alike share it in most places, so an image
is compared only with those whose key equals its own, or its own with its least certain signs flipped. The number of
directions grows with the logarithm of the number of images, so the cost of one image stays about the same.
"""

import numpy as np

from pipeline.images.fingerprints import SIZE, mirrored
from pipeline.running.progress import progress

_BATCH = 4096  # images whose candidates are held at once
_PAIRS = 1 << 12  # pairs that are compared at once: so many that they stay in a core's cache


def near_pairs(
    prints: np.ndarray,
    held_out: int,
    similarity: float,
    tables: int,
    tables_held_out: int,
    spare_bits: int,
    flips: int,
    bucket: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows of int8 [N, views, 256] with views of a cosine of at least `similarity`, one mirrored or neither.

    The first `held_out` rows, which nothing else may show, are looked up in `tables_held_out` independent tables with
    all their views, the others in `tables` of those with their first view, each against all views of all rows. The
    other values: see `near` in conf/clean.yaml. Returns first and second (int64 [P], first < second, each pair once,
    ascending) and the largest cosine found (float32 [P]).
    """
    rows, views = prints.shape[:2]
    if rows < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    bits = int(np.ceil(np.log2(rows * views))) + spare_bits
    generator = np.random.default_rng(seed)
    planes = [generator.standard_normal((SIZE, bits), np.float32) for _ in range(max(tables, tables_held_out))]
    flat = prints.reshape(-1, SIZE)
    indexes = [_Index(_keys(flat, plane), bucket) for plane in planes]
    norms = np.concatenate([np.linalg.norm(part.astype(np.float32), axis=1) for part in _batches(flat)]).clip(1e-6)
    found = [(np.empty(0, np.int64), np.empty(0, np.float32))]
    parts = [range(start, min(start + _BATCH, held_out)) for start in range(0, held_out, _BATCH)]
    if tables:
        parts += [range(start, min(start + _BATCH, rows)) for start in range(held_out, rows, _BATCH)]
    for part in progress(parts, rows if tables else held_out, "search near duplicates", step=_BATCH):
        used, shown = (tables_held_out, views) if part.start < held_out else (tables, 1)
        numbers = (np.arange(part.start, part.stop)[:, None] * views + np.arange(shown)).ravel()
        for side in (flat[numbers], mirrored(flat[numbers])):
            queries = side.astype(np.float32)
            codes = [
                index.candidates(queries @ plane, flips, len(flat))
                for index, plane in zip(indexes[:used], planes[:used], strict=True)
            ]
            queries /= norms[numbers, None]
            found += _verify(queries, numbers, flat, norms, np.unique(np.concatenate(codes)), views, similarity)
    codes, cosines = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((-cosines, codes))  # of each pair the best first, which `unique` then takes
    codes, best = np.unique(codes[order], return_index=True)
    return codes // rows, codes % rows, cosines[order[best]]


class _Index:
    """The views of each key, lowest first: their numbers sorted by key."""

    def __init__(self, keys: np.ndarray, bucket: int) -> None:
        self.order = np.argsort(keys, kind="stable").astype(np.int32)
        self.keys = keys[self.order]
        self.bucket = bucket

    def candidates(self, sides: np.ndarray, flips: int, total: int) -> np.ndarray:
        """Codes `query * total + view` for queries whose products with the directions are `sides` [queries, bits]."""
        places = 1 << np.arange(sides.shape[1], dtype=np.int64)
        least = np.argpartition(np.abs(sides), flips, axis=1)[:, :flips]
        subsets = np.arange(1 << flips)[:, None] >> np.arange(flips) & 1
        keys = (((sides > 0) @ places)[:, None] ^ (places[least] @ subsets.T)).ravel()
        starts = np.searchsorted(self.keys, keys)
        hits = np.nonzero(self.keys[np.minimum(starts, len(self.keys) - 1)] == keys)[0]
        starts = starts[hits]
        counts = np.minimum(np.searchsorted(self.keys, keys[hits], "right") - starts, self.bucket)
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.repeat(hits >> flips, counts) * total + self.order[np.repeat(starts, counts) + within]


def _batches(flat: np.ndarray) -> list[np.ndarray]:
    return [flat[start : start + _BATCH] for start in range(0, len(flat), _BATCH)]


def _keys(flat: np.ndarray, plane: np.ndarray) -> np.ndarray:
    places = 1 << np.arange(plane.shape[1], dtype=np.int64)
    return np.concatenate([(part.astype(np.float32) @ plane > 0) @ places for part in _batches(flat)])


def _verify(
    queries: np.ndarray,
    numbers: np.ndarray,
    flat: np.ndarray,
    norms: np.ndarray,
    codes: np.ndarray,
    views: int,
    similarity: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The candidates that are alike enough, in batches of (first row * rows + second row, cosine); a pair may repeat.

    queries: unit vectors [Q, 256] of the views `numbers` [Q]. codes: query * all views + view.
    """
    rows = len(flat) // views
    left, right = np.divmod(codes, len(flat))
    other = numbers[left] // views != right // views
    left, right = left[other], right[other]
    found = []
    for start in range(0, len(left), _PAIRS):
        query, view = left[start : start + _PAIRS], right[start : start + _PAIRS]
        cosine = np.einsum("ij,ij->i", queries[query], flat[view].astype(np.float32)) / norms[view]
        hits = np.nonzero(cosine >= similarity)[0]
        one, other = numbers[query[hits]] // views, view[hits] // views
        found.append((np.minimum(one, other) * rows + np.maximum(one, other), cosine[hits].astype(np.float32)))
    return found

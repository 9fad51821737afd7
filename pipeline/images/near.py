"""Pairs of images that show the same picture, found without comparing all pairs.

Locality-sensitive hashing by random hyperplanes (Charikar, 2002) with multi-probing (Lv et al., 2007): the sign of a
fingerprint on each of a few random directions makes a key; pictures that are alike share it in most places, so an image
is compared only with those whose key equals its own, or its own with its least certain signs flipped. The number of
directions grows with the logarithm of the number of images, so the cost of one image stays about the same. One table of
keys is held at a time, so memory stays at little more than the fingerprints.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.images.fingerprints import SIZE, mirrored
from pipeline.running.cores import cores
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
    among: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows of int8 [N, views, 256] whose cosine is at least `similarity` in some view, one mirrored or not.

    The first `held_out` rows, which nothing else may show, are looked up in `tables_held_out` independent tables with
    all their views, the others in `tables` of those with their first view, each against all views of all rows from
    `among` on. The other values: see `near` in conf/clean.yaml. Returns first and second (int64 [P], first < second,
    each pair once, ascending) and the largest cosine found (float32 [P]).
    """
    rows, views = prints.shape[:2]
    if rows < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    bits = min(max(int(np.ceil(np.log2(rows * views))) + spare_bits, 3), 32)
    flips = min(flips, bits - 1)  # of so short a key as few images have
    generator = np.random.default_rng(seed)
    flat = prints.reshape(-1, SIZE)
    parts = [range(start, min(start + _BATCH, held_out)) for start in range(0, held_out, _BATCH)]
    parts += [range(start, min(start + _BATCH, rows)) for start in range(held_out, rows, _BATCH)]
    pairs, cosines = np.empty(0, np.int64), np.empty(0, np.float32)
    numbers = range(max(tables, tables_held_out))
    with threadpool_limits(1), ThreadPoolExecutor(cores()) as threads:  # numpy leaves the interpreter free
        batches = [flat[start : start + 3 * _BATCH] for start in range(0, len(flat), 3 * _BATCH)]
        norms = np.concatenate(list(threads.map(lambda part: np.linalg.norm(part.astype(np.float32), axis=1), batches)))
        for number in progress(numbers, len(numbers), "search near duplicates", "table"):
            plane = generator.standard_normal((SIZE, bits), np.float32)
            keys = np.concatenate(list(threads.map(lambda part, plane=plane: _keys(_sides(part, plane)), batches)))
            search = _Table(plane, keys, bucket, flat, norms.clip(1e-6), views, among)
            used = [
                (part, views if part.start < held_out else 1)
                for part in parts
                if number < (tables_held_out if part.start < held_out else tables)
            ]
            found = threads.map(lambda item, search=search: search.pairs(*item, flips, similarity), used)
            pairs, cosines = _best([(pairs, cosines), *found])
    return pairs // rows, pairs % rows, cosines


def shown_again(prints: np.ndarray, held_out: int, near: dict) -> list[tuple[int, int, float]]:
    """Of `near_pairs`, those of one of the first `held_out` rows and a later one: (first, second, cosine), by likeness.

    The most alike pair comes first, and of equally alike ones that of the lowest rows. near: the other values.
    """
    # Among the later rows alone: held-out ones that are all alike would fill the buckets and hide them.
    first, second, cosine = near_pairs(prints, held_out, **near | {"tables": 0, "among": held_out})
    order = np.argsort(-cosine, kind="stable")
    return list(zip(first[order].tolist(), second[order].tolist(), cosine[order].tolist(), strict=True))


class _Table:
    """The views of the rows from `among` on by their key under `plane`: sorted by key, of each key the lowest first."""

    def __init__(self, plane, keys, bucket: int, flat: np.ndarray, norms: np.ndarray, views: int, among: int) -> None:
        self.plane, self.bucket, self.flat, self.norms, self.views = plane, bucket, flat, norms, views
        keys = keys[among * views :]
        order = np.argsort(keys, kind="stable").astype(np.int32)
        self.keys, self.order = keys[order], order + np.int32(among * views)
        # Most keys that are looked up are nobody's. One bit for each says so without a search through the sorted keys.
        self.taken = np.zeros(1 << plane.shape[1] - 3, np.uint8)
        np.bitwise_or.at(self.taken, keys >> 3, np.uint8(1) << (keys & 7).astype(np.uint8))

    def pairs(self, part: range, shown: int, flips: int, similarity: float) -> tuple[np.ndarray, np.ndarray]:
        """Codes first * rows + second and cosines of the pairs that the first `shown` views of these rows have."""
        numbers = (np.arange(part.start, part.stop)[:, None] * self.views + np.arange(shown)).ravel()
        found = []
        for plane, signs in ((self.plane, 1), (_swapped(self.plane), mirrored(np.ones(SIZE, np.float32)))):
            query, view = self.candidates(_sides(self.flat[numbers], plane), flips)
            found += self.alike(numbers[query], view, signs, similarity)
        return _best(found)

    def candidates(self, sides: np.ndarray, flips: int) -> tuple[np.ndarray, np.ndarray]:
        """Queries (positions in `sides`, their products with the directions) and the views that share a key of them."""
        least = np.argpartition(np.abs(sides), flips, axis=1)[:, :flips]
        probes = np.zeros((len(sides), 1), np.uint32)
        for bit in (np.uint32(1) << least.astype(np.uint32)).T[:, :, None]:
            probes = np.concatenate([probes, probes | bit], axis=1)
        keys = (_keys(sides)[:, None] ^ probes).ravel()
        hits = np.nonzero(self.taken[keys >> 3] >> (keys & 7).astype(np.uint8) & 1)[0]
        starts = np.searchsorted(self.keys, keys[hits])
        counts = np.minimum(np.searchsorted(self.keys, keys[hits], "right") - starts, self.bucket)
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.repeat(hits >> flips, counts), self.order[np.repeat(starts, counts) + within]

    def alike(self, one: np.ndarray, other: np.ndarray, signs, similarity: float) -> list:
        """Codes and cosines, in batches, of the views `one` times `signs` that are like `other`."""
        rows = len(self.flat) // self.views
        apart = one // self.views != other // self.views
        one, other, found = one[apart], other[apart], [(np.empty(0, np.int64), np.empty(0, np.float32))]
        for start in range(0, len(one), _PAIRS):
            left, right = one[start : start + _PAIRS], other[start : start + _PAIRS]
            cosine = np.einsum(
                "ij,ij->i", self.flat[left].astype(np.float32) * signs, self.flat[right].astype(np.float32)
            )
            cosine /= self.norms[left] * self.norms[right]
            hits = np.nonzero(cosine >= similarity)[0]
            left, right = left[hits].astype(np.int64) // self.views, right[hits].astype(np.int64) // self.views
            found.append((np.minimum(left, right) * rows + np.maximum(left, right), cosine[hits].astype(np.float32)))
        return found


def _sides(part: np.ndarray, plane: np.ndarray) -> np.ndarray:
    return part.astype(np.float32) @ plane


def _swapped(plane: np.ndarray) -> np.ndarray:
    """The directions that give a fingerprint what `plane` gives the fingerprint of the mirrored image."""
    return np.ascontiguousarray(mirrored(plane.T).T)


def _keys(sides: np.ndarray) -> np.ndarray:
    """uint32 [N]: bit b of a key says whether the product with direction b is positive."""
    places = 2.0 ** np.arange(sides.shape[1])  # exact, and several times faster than in integers
    return ((sides > 0).astype(np.float64) @ places).astype(np.uint32)


def _best(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, ascending, with its largest cosine."""
    codes, cosines = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((-cosines, codes))
    codes, first = np.unique(codes[order], return_index=True)
    return codes, cosines[order[first]]

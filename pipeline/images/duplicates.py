"""Which images show the same thing as another, and which of them leaves.

Valid and test are what results are measured on, so they never lose an image to a duplicate: train does.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.images.near import near_pairs


def duplicates(images: pd.DataFrame) -> pd.DataFrame:
    """What exact duplicates mean for each row of `images`: id (ascending), split, label, sha256 (equal: duplicate).

    Returns, with the same index: `reason` to leave train ("" = none): duplicate_of_test, duplicate_of_valid or
    duplicate_in_train (the first id stays); `note`, the like for an image of valid or test, which stays; `of`, the id
    that the row duplicates; `similarity`, 1 there and 0 elsewhere; `other_label`, whether any duplicate of it carries
    another label.
    """
    found = pd.DataFrame({"reason": "", "note": "", "of": "", "similarity": 0.0, "other_label": False}, images.index)
    several = images[images.sha256.duplicated(keep=False)]
    if several.empty:
        return found
    labels = several.groupby("sha256").label
    found.loc[several.index, "other_label"] = labels.transform("min") != labels.transform("max")
    first = {
        split: several.sha256.map(rows.groupby("sha256").id.first()).fillna("")
        for split, rows in several.groupby("split")
    }
    nothing = pd.Series("", several.index)
    for split, others in {"train": ["test", "valid"], "valid": ["test"], "test": ["valid"]}.items():
        here, column = several.split == split, "reason" if split == "train" else "note"
        for other in others:
            _set(found, here & (first.get(other, nothing) != ""), column, f"duplicate_of_{other}", first.get(other))
        own = first.get(split, nothing)
        _set(found, here & (own != several.id), column, f"duplicate_in_{split}", own)
    return found


def near_duplicates(images: pd.DataFrame, prints: np.ndarray, near: dict, allow: Sequence[str]) -> pd.DataFrame:
    """What near duplicates mean for each row of `images` (id ascending, split, label, sha256), as `duplicates` says it.

    The reasons are near_duplicate_of_test, near_duplicate_of_valid and near_duplicate_in_train; `similarity` is the
    cosine to `of`. prints: int8 [.., views, 256], an image's at the position that is its index in `images`. near: see
    `near` in conf/clean.yaml. An image of train leaves if it is like one of test, of valid, or like one of train with a
    lower id that stays: of a chain a-b-c, where a and c differ, a and c stay. allow: ids that stay whatever they are
    like.
    """
    rank = images.split.map({"test": 0, "valid": 1, "train": 2}).to_numpy()
    unique = ~images.sha256.duplicated().to_numpy()
    order = np.lexsort((np.arange(len(images)), rank))
    order = order[unique[order]]
    first, second, cosine = near_pairs(prints[images.index[order]], int((rank[order] < 2).sum()), **near)
    partners: dict[int, list[tuple[int, float]]] = {}
    for one, other, similarity in zip(order[first].tolist(), order[second].tolist(), cosine.tolist(), strict=True):
        partners.setdefault(other, []).append((one, similarity))
    ids, splits, labels = images.id.tolist(), images.split.tolist(), images.label.tolist()
    stays, leaves, other_label, rows = set(allow), set(), np.zeros(len(images), bool), {}
    for row in [row for row in order.tolist() if row in partners]:
        like = [(other, similarity) for other, similarity in partners[row] if other not in leaves]
        if not like:
            continue
        of, similarity = max(like, key=lambda pair: (-rank[pair[0]], pair[1], -pair[0]))
        where = f"near_duplicate_{'in' if splits[of] == splits[row] else 'of'}_{splits[of]}"
        if splits[row] != "train":
            rows[row] = ("", where, ids[of], similarity)
        elif ids[row] not in stays:
            leaves.add(row)
            rows[row] = (where, "", ids[of], similarity)
        if any(labels[one] != labels[row] for one, _ in like):
            other_label[[row, *(one for one, _ in like)]] = True
    nothing = ("", "", "", 0.0)
    columns = ["reason", "note", "of", "similarity"]
    found = pd.DataFrame([rows.get(row, nothing) for row in range(len(images))], images.index, columns)
    return found.assign(other_label=other_label)


def groups(images: pd.DataFrame) -> dict[str, int]:
    """Counts over the groups of identical pixels in `images` (split, label, sha256).

    groups; surplus, the images beyond one of each group; across_splits and other_label, the groups that have members in
    several splits or with several labels.
    """
    each = images[images.sha256.duplicated(keep=False)].groupby("sha256")
    size, splits, labels = each.size(), each.split.nunique(), each.label.nunique()
    return {
        "groups": len(size),
        "surplus": int(np.sum(size - 1)),
        "across_splits": int((splits > 1).sum()),
        "other_label": int((labels > 1).sum()),
    }


def _set(found: pd.DataFrame, rows: pd.Series, column: str, what: str, of: pd.Series | None) -> None:
    """Set what is not set yet in `rows`."""
    index = rows.index[rows & (found.of[rows.index] == "")]
    if len(index):
        found.loc[index, column] = what
        found.loc[index, "of"] = of[index]
        found.loc[index, "similarity"] = 1.0

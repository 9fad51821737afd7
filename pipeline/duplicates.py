"""Which images show the same thing as another, and which of them leaves.

Valid and test are what results are measured on, so they never lose an image to a duplicate: train does.
"""

import numpy as np
import pandas as pd


def duplicates(images: pd.DataFrame) -> pd.DataFrame:
    """What exact duplicates mean for each row of `images`: id (ascending), split, label, sha256 (equal: duplicate).

    Returns, with the same index: `reason` to leave train ("" = none): duplicate_of_test, duplicate_of_valid or
    duplicate_in_train (the first id stays); `note`, the like for an image of valid or test, which stays; `of`, the id
    that the row duplicates; `other_label`, whether any duplicate of it carries another label.
    """
    found = pd.DataFrame({"reason": "", "note": "", "of": "", "other_label": False}, index=images.index)
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

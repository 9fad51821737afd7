"""The gate between train and what results are measured on: no image of train may also stand in valid or test."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.images.near import shown_again


def leaks(images: pd.DataFrame, prints: np.ndarray, near: dict, allow: Sequence[str], search: int) -> pd.DataFrame:
    """The images of train that show the same as one of valid or test, exactly or nearly.

    images: id, split, label, sha256 of decodable images. prints: int8 [.., views, 256], an image's at the position that
    is its index in `images`. near: see `near` in conf/clean.yaml. allow: ids of train that may be nearly the same, not
    exactly. search: 0 hashes as the search for duplicates does, any other number by directions of its own, so that it
    finds most of what the others missed. Returns a row for each such image: id, of, kind ("exact" or "near"),
    similarity (1 if exact).
    """
    held_out = images[images.split != "train"].drop_duplicates("sha256").set_index("sha256").id
    train = images[images.split == "train"]
    exact = train[train.sha256.isin(held_out.index)]
    rows = [(id, held_out[sha256], "exact", 1.0) for id, sha256 in zip(exact.id, exact.sha256, strict=True)]
    seen = {*allow, *exact.id}
    order = np.argsort(images.split.to_numpy() == "train", kind="stable")
    order = order[~images.sha256.iloc[order].duplicated().to_numpy()]
    ids, pictures = images.id.to_numpy()[order], prints[images.index[order]]
    for of, again, cosine in shown_again(pictures, len(held_out), near | {"seed": near["seed"] + search}):
        if ids[again] not in seen:
            seen.add(ids[again])
            rows.append((ids[again], ids[of], "near", cosine))
    return pd.DataFrame(rows, columns=["id", "of", "kind", "similarity"])

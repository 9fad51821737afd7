"""The manifest of a source, a row for each image: what it is, and whether it is kept or the reason why not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.images import survey
from pipeline.images.duplicates import duplicates, near_duplicates
from pipeline.images.layout import Place, by_hash
from pipeline.images.leaks import leaks
from pipeline.images.near import shown_again
from pipeline.labels import LABELS, SPLITS
from pipeline.running.errors import UserError

_FACTS = [field for field in survey.SCHEMA if field.name not in ("id", "placeholder", "rejected")]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),  # position in pipeline.labels.LABELS
        *_FACTS,
        ("kept", pa.bool_()),
        ("reason", pa.string()),  # "" where kept; see pipeline.images.page.MEANINGS
        ("note", pa.string()),  # the like of a reason for an image that stays: duplicates in valid and test
        ("of", pa.string()),  # id of the image it duplicates, or ""
        ("similarity", pa.float32()),  # to that image: 1 for the same pixels, 0 where there is none
        ("other_label", pa.bool_()),  # whether a duplicate of it carries another label
    ]
)


def within_limit(places: Mapping[str, Place], limit: int | str, seed: int) -> list[str]:
    """At most `limit` of these ids of each split, in proportion to its classes but at least one of each; sorted.

    Which ones depends on each id's hash with `seed` alone, so never on the files' order, and a larger limit holds every
    id of a smaller one.
    """
    if limit == "all":
        return list(places)
    classes, totals = {}, Counter(place.split for place in places.values())
    for id, place in places.items():
        classes.setdefault(place, []).append(id)
    drawn = []
    for (split, _), members in classes.items():
        spare = max(totals[split] - len(LABELS), 1)
        quota = 1 + (limit - len(LABELS)) * (len(members) - 1) // spare
        drawn += by_hash(members, seed)[:quota]
    return sorted(drawn)


def refuse_strangers(ids: list[str], **lists: list[str]) -> None:
    """UserError if an id on a person's list is not among `ids`: misspelt, it would silently decide nothing."""
    for name, listed in lists.items():
        strangers = sorted(set(listed) - set(ids))
        if strangers:
            raise UserError(f"data.{name}: {strangers[0]!r} is not in the source; mend the id or take it off the list")


def judge(
    known: pd.DataFrame,
    prints: np.ndarray,
    blank_spread: int,
    near: dict,
    allow: list[str],
    deny: list[str],
    of_train: Sequence[str],
) -> pd.DataFrame:
    """The manifest (SCHEMA): what a survey knows, and kept, reason, note, of, similarity and other_label.

    allow and deny: ids that a person has decided on; a denied image of train takes with it what shows the same there,
    exactly or nearly, under the same label: one of those would stand in for it otherwise. of_train: train, and valid
    where it was drawn from there. UserError if an image that is to stay can't be decoded, or is an exact duplicate.
    """
    allowed, denied = known.id.isin(list(allow)), known.id.isin(list(deny))
    known = known.assign(reason=known.rejected, note="", of="", similarity=0.0, other_label=False)
    known.loc[(known.reason == "") & (known.spread <= blank_spread).fillna(False) & ~allowed, "reason"] = "blank"
    known.loc[(known.reason == "") & known.placeholder.fillna(False) & ~allowed, "reason"] = "placeholder"
    known.loc[(known.reason == "") & denied, "reason"] = "denied"
    _deny_copies(known, known.split.isin(list(of_train)) & ~allowed, prints, near)
    for search in (duplicates, lambda rows: near_duplicates(rows, prints, near, allow)):
        found = search(known.loc[known.reason == "", ["id", "split", "label", "sha256"]])
        fresh = found.index[(found.of != "") & (known.of[found.index] == "")]
        for column in ("reason", "note", "of", "similarity"):
            known.loc[fresh, column] = found.loc[fresh, column]
        known.loc[found.index, "other_label"] |= found.other_label
    known["kept"] = known.reason == ""
    lost = known[allowed & ~known.kept]
    if len(lost):
        raise UserError(f"data.allow: {lost.id.iloc[0]!r} can't stay: {lost.reason.iloc[0]}; take it off the list")
    return known[SCHEMA.names]


def _deny_copies(known: pd.DataFrame, among: pd.Series, prints: np.ndarray, near: dict) -> None:
    """Mark as denied what shows the same as a denied image under its label, both `among` these rows, bool [N]."""
    train = known[among]
    denied = train[train.reason == "denied"].drop_duplicates(["sha256", "label"])
    others = train[(train.reason == "") & train.label.isin(denied.label)]
    ids = denied.set_index(["sha256", "label"]).id.to_dict()
    of = pd.Series([ids.get(each, "") for each in zip(others.sha256, others.label, strict=True)], others.index, str)
    known.loc[of.index[of != ""], ["reason", "similarity"]] = ["denied", 1.0]
    known.loc[of.index[of != ""], "of"] = of[of != ""]
    rows = [*denied.index, *of.index[of == ""]]
    for one, other, cosine in shown_again(prints[rows], len(denied), near):
        one, other = rows[one], rows[other]
        if known.reason[other] == "" and known.label[one] == known.label[other]:
            known.loc[other, ["reason", "of", "similarity"]] = ["denied", known.id[one], cosine]


def without_copies(manifest: pd.DataFrame, allow: list[str]) -> pd.DataFrame:
    """The manifest whose valid, drawn from train, loses what also stands in test or earlier in valid, as train would.

    A valid that came with the source keeps such images: what others measure on is not for this project to change.
    allow: ids that may be nearly the same as another, not exactly.
    """
    allowed = manifest.note.str.startswith("near") & manifest.id.isin(list(allow))
    lost = manifest.kept & (manifest.split == "valid") & (manifest.note != "") & ~allowed
    return manifest.assign(
        kept=manifest.kept & ~lost,
        reason=manifest.reason.mask(lost, manifest.note),
        note=manifest.note.mask(lost, ""),
    )


def bad(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows that are no usable image, whatever the others are: set aside, but not as a duplicate or by a person."""
    return manifest[~manifest.kept & ~manifest.reason.str.contains("duplicate") & (manifest.reason != "denied")]


def refuse_bad(manifest: pd.DataFrame, max_bad_share: float, path: str) -> None:
    """UserError if more than this share of the images is bad: then it is the source that is wrong, or its path."""
    rows = bad(manifest)
    if len(rows) > max_bad_share * len(manifest):
        counts = ", ".join(f"{count:,} {reason}" for reason, count in rows.reason.value_counts().items())
        raise UserError(
            f"{path}: {len(rows):,} of {len(manifest):,} images are bad, over max_bad_share={max_bad_share}: {counts}, "
            f"the first is {rows.id.iloc[0]!r}; mend the source, or raise data.max_bad_share if that is how it is"
        )


def refuse_empty(manifest: pd.DataFrame, path: str) -> None:
    """UserError if no image of some class is kept in some split."""
    kept = set(zip(manifest.split[manifest.kept], manifest.label[manifest.kept], strict=True))
    for split in SPLITS:
        for label, emotion in enumerate(LABELS):
            if (split, label) not in kept:
                raise UserError(f"{path}: no image of {emotion} is left in {split} after cleaning; add some")


def gate(manifest: pd.DataFrame, prints: np.ndarray, near: dict, allow: list[str], path: str) -> pd.DataFrame:
    """The manifest once no image kept in train also stands in valid or test, but for near ones that a person allows.

    The search for near duplicates finds almost all of them; one by other hashes among what is left finds most of the
    rest, so it is repeated, by others each time, until it finds none. UserError if it does not come to an end.
    """
    manifest, known = manifest.copy(), manifest.set_index("id")
    for search in range(1, 6):
        kept = manifest.kept.to_numpy()
        found = leaks(manifest[kept], prints, near, allow, search).set_index("id")
        if found.empty:
            return manifest
        rows = manifest.index[manifest.id.isin(found.index)]
        ids = manifest.id[rows]
        of = ids.map(found.of)
        manifest.loc[rows, "kept"] = False
        manifest.loc[rows, "of"] = of
        manifest.loc[rows, "similarity"] = ids.map(found.similarity)
        manifest.loc[rows, "reason"] = "near_duplicate_of_" + of.map(known.split)
        differs = known.label[ids].to_numpy() != known.label[of].to_numpy()
        manifest.loc[manifest.id.isin([*ids[differs], *of[differs]]), "other_label"] = True
    raise UserError(
        f"{path}: {found.index[0]!r} and others of train are nearly the same as images of valid or test, and each of "
        f"{search} searches finds more of them; raise near.tables_held_out, now {near['tables_held_out']}"
    )


def write_manifest(path: Path, manifest: pd.DataFrame, name: str) -> None:
    """Write the manifest as Parquet, with the data set's name in the file's metadata."""
    rows = pa.Table.from_pandas(manifest, SCHEMA, preserve_index=False)
    pq.write_table(rows.replace_schema_metadata({"name": name}), path, compression="zstd")

"""Look at every raw image once and write a manifest: what it is, and whether it is kept or the reason why not.

Nothing is copied or deleted. Set aside are files that can't be decoded, blank images, and images of train whose pixels
stand in valid, in test or before it in train. Writes data/clean/: manifest.parquet, summary.json and a contact sheet of
each reason's images.
"""

import hashlib
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import cli, facts, images, source
from pipeline.duplicates import duplicates, groups
from pipeline.errors import UserError
from pipeline.files import whole_folder
from pipeline.images import Decoded, decode
from pipeline.labels import FOLDERS, LABELS, SPLITS, index_of_folder
from pipeline.shards import cache_folder, shards, slices
from pipeline.sheets import sheet
from pipeline.source import Source, folder_of, open_source, split_of

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),  # position in pipeline.labels.LABELS
        *(facts.SCHEMA.field(name) for name in facts.SCHEMA.names if name != "rejected"),
        ("kept", pa.bool_()),
        ("reason", pa.string()),  # "" where kept
        ("note", pa.string()),  # the like of a reason for an image that stays: duplicates in valid and test
        ("of", pa.string()),  # id of the image it duplicates, or ""
        ("other_label", pa.bool_()),  # whether a duplicate of it carries another label
    ]
)


def main(cfg) -> None:
    raw = open_source(cfg.source)
    ids = draw(raw.ids(), cfg.limit, cfg.limit_seed)
    looks = {"max_bytes": cfg.max_bytes, "max_pixels": cfg.max_pixels, "gray_tolerance": cfg.gray_tolerance}
    depends_on = looks | {"source": raw.fingerprint(), "ids": ids, "shard": cfg.shard}
    cache = cache_folder(cfg.paths.cache, "clean", depends_on, [source, images, facts])
    with shards(partial(look, raw, looks), slices(ids, cfg.shard), cache, ".parquet", "clean") as files:
        manifest = judge(pa.concat_tables(pq.read_table(file) for file in files), cfg.blank_std)
        refuse_bad(manifest, cfg.data.max_bad_share, cfg.source)
        refuse_empty(manifest, cfg.source)
        summary = {"name": cfg.data.name, "source": str(cfg.source), "limit": cfg.limit} | summarize(manifest)
        with whole_folder(cfg.paths.clean) as folder:
            write_manifest(folder / "manifest.parquet", manifest, cfg.data.name)
            (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
            draw_sheets(folder, raw, manifest, cfg.max_pixels, **cfg.sheet)
    print(table(summary))


def draw(ids: list[str], limit: int | str, seed: int) -> list[str]:
    """At most `limit` ids of each split, in proportion to its classes but at least one of each; sorted.

    Which ones depends on each id's hash with `seed` alone, so a draw never depends on the files' order, and a larger
    limit holds every id of a smaller one.
    """
    if limit == "all":
        return ids
    if not isinstance(limit, int) or limit < len(FOLDERS):
        raise UserError(f"limit={limit}: expected a number of at least {len(FOLDERS)}, one image of each class, or all")
    classes, totals = {}, Counter(split_of(id) for id in ids)
    for id in ids:
        classes.setdefault((split_of(id), folder_of(id)), []).append(id)
    drawn = []
    for (split, _), members in classes.items():
        spare = max(totals[split] - len(FOLDERS), 1)
        quota = 1 + (limit - len(FOLDERS)) * (len(members) - 1) // spare
        drawn += sorted(members, key=lambda id: hashlib.sha256(f"{seed}:{id}".encode()).digest())[:quota]
    return sorted(drawn)


def look(raw: Source, looks: dict, ids: list[str], path: Path) -> None:
    """Write the facts of these images to a Parquet file, one row each; one that can't be read has a reason too."""
    limits = {name: value for name, value in looks.items() if name != "max_bytes"}
    rows = []
    for id in ids:
        try:
            size = raw.size(id)
            large = size > looks["max_bytes"]
            record = facts.unread("too_many_bytes", size) if large else facts.facts(raw.read(id), **limits)
        except OSError:
            record = facts.unread("unreadable")
        rows.append({"id": id} | record)
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), *facts.SCHEMA])), path)


def judge(known: pa.Table, blank_std: float) -> pd.DataFrame:
    """The manifest: the facts with split and label, and kept, reason, note, of and other_label (see SCHEMA)."""
    frame = known.to_pandas(types_mapper=_nullable.get)
    frame["split"] = [split_of(id) for id in frame.id]
    frame["label"] = [index_of_folder(folder_of(id)) for id in frame.id]
    frame["reason"] = frame.rejected
    frame.loc[(frame.reason == "") & (frame["std"] < blank_std).fillna(False), "reason"] = "blank"
    found = duplicates(frame.loc[frame.reason == "", ["id", "split", "label", "sha256"]])
    for column, nothing in {"note": "", "of": "", "other_label": False}.items():
        frame[column] = found[column].reindex(frame.index, fill_value=nothing)
    frame.loc[found.index, "reason"] = found.reason
    frame["kept"] = frame.reason == ""
    return frame[SCHEMA.names]


_nullable = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def bad(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows that are no usable image, whatever the others are: all that is set aside but duplicates."""
    return manifest[~manifest.kept & ~manifest.reason.str.startswith("duplicate")]


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
        for folder, label in FOLDERS.items():
            if (split, LABELS.index(label)) not in kept:
                raise UserError(f"{path}: no image of {split}/{folder} is left after cleaning; add some")


def summarize(manifest: pd.DataFrame) -> dict:
    """Counts: images, kept, per reason, per note, of exact duplicates, and per split, label, colour and reason."""
    colour = manifest.gray.map({True: "gray", False: "colour"}).fillna("unknown")
    label = manifest.label.map(dict(enumerate(LABELS)))
    each = manifest.groupby([manifest.split, label, colour.rename("colour"), manifest.reason]).size()
    whole = manifest[manifest.sha256.notna()]
    return {
        "images": len(manifest),
        "kept": int(manifest.kept.sum()),
        "splits": {
            split: {"images": len(rows), "kept": int(rows.kept.sum())} for split, rows in manifest.groupby("split")
        },
        "reasons": manifest.reason[~manifest.kept].value_counts().sort_index().to_dict(),
        "notes": manifest.note[manifest.note != ""].value_counts().sort_index().to_dict(),
        "identical_pixels": groups(whole),
        "animated": int((manifest.frames > 1).sum()),
        "counts": [
            {"split": split, "label": label, "colour": colour, "reason": reason, "images": int(count)}
            for (split, label, colour, reason), count in each.items()
        ],
    }


def write_manifest(path: Path, manifest: pd.DataFrame, name: str) -> None:
    """Write the manifest as Parquet, with the data set's name in the file's metadata."""
    rows = pa.Table.from_pandas(manifest, SCHEMA, preserve_index=False)
    pq.write_table(rows.replace_schema_metadata({"name": name}), path, compression="zstd")


def draw_sheets(
    folder: Path, raw: Source, manifest: pd.DataFrame, max_pixels: int, images: int, tile: int, columns: int
) -> None:
    """Write `removed_<reason>.png` for each reason whose images can be shown; a duplicate beside what it duplicates."""
    shown = manifest[~manifest.kept & manifest.sha256.notna()]
    for reason, rows in shown.groupby("reason"):
        pairs = [
            [_image(raw, id, max_pixels) for id in (id, of) if id]
            for id, of in zip(rows.id[:images], rows.of[:images], strict=True)
        ]
        sheet(pairs, tile, columns).save(folder / f"removed_{reason}.png")


def _image(raw: Source, id: str, max_pixels: int):
    decoded = decode(raw.read(id), max_pixels)
    assert isinstance(decoded, Decoded), f"{id} was decodable a moment ago"
    return decoded.image


def table(summary: dict) -> str:
    """The summary as lines to print."""
    lines = [f"{summary['name']}: {summary['kept']:,} of {summary['images']:,} images kept"]
    lines += [f"  {split:6} {n['kept']:8,} of {n['images']:8,}" for split, n in summary["splits"].items()]
    lines += [f"  removed: {count:8,} {reason}" for reason, count in summary["reasons"].items()]
    lines += [f"  stays:   {count:8,} {note}" for note, count in summary["notes"].items()]
    same = summary["identical_pixels"]
    lines += [
        f"  identical pixels: {same['groups']:,} groups, {same['surplus']:,} surplus images, "
        f"{same['across_splits']:,} groups across splits, {same['other_label']:,} with more than one label"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run("clean")

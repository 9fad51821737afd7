"""What cleaning found, for people: a summary, lines to print, and a page with a contact sheet for each reason."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.images.decode import is_animated
from pipeline.images.duplicates import groups
from pipeline.images.sheets import fitted, most_rows, sheet
from pipeline.labels import LABELS, SPLITS
from pipeline.reporting import template
from pipeline.reporting.template import embedded

TEMPLATE = Path(__file__).parent / "page.html"
IDS = 200  # listed below each sheet

MEANINGS = {
    "zero_bytes": "the file is empty",
    "not_an_image": "the content is no JPEG, PNG, WEBP, GIF or BMP",
    "truncated": "the file ends before the image does",
    "corrupt": "the content starts as an image and can't be decoded",
    "too_many_pixels": "width times height is over max_pixels; not decoded",
    "too_many_parts": "more scans, chunks or blocks than any camera or program writes; not decoded",
    "too_many_bytes": "the file is over max_bytes; not read",
    "unreadable": "the file or zip entry can't be read",
    "blank": "nothing on it",
    "placeholder": "computer graphics without a face, such as a note that the photo is gone",
    "denied": "on the deny list, or a copy or near copy, in train, of such an image of train under its label",
    "duplicate_of_test": "the same pixels stand in test",
    "duplicate_of_valid": "the same pixels stand in valid",
    "duplicate_in_train": "the same pixels stand in train under a lower id",
    "duplicate_in_test": "the same pixels stand in test under a lower id",
    "duplicate_in_valid": "the same pixels stand in valid under a lower id",
    "near_duplicate_of_test": "the same picture stands in test",
    "near_duplicate_of_valid": "the same picture stands in valid",
    "near_duplicate_in_train": "the same picture stands in train",
    "near_duplicate_in_test": "the same picture stands in test",
    "near_duplicate_in_valid": "the same picture stands in valid",
}


def summarize(manifest: pd.DataFrame) -> dict:
    """Counts: images, kept, per reason, per note, of exact duplicates, and per split, label, colour and reason."""
    colour = manifest.gray.map({True: "gray", False: "colour"}).fillna("unknown")
    label = manifest.label.map(dict(enumerate(LABELS)))
    each = manifest.groupby([manifest.split, label, colour.rename("colour"), manifest.reason]).size()
    by_split = manifest.groupby("split").kept
    return {
        "images": len(manifest),
        "kept": int(manifest.kept.sum()),
        "splits": {
            split: {"images": int(by_split.size()[split]), "kept": int(by_split.sum()[split])}
            for split in SPLITS
            if split in by_split.size()
        },
        "reasons": manifest.reason[~manifest.kept].value_counts().sort_index().to_dict(),
        "notes": manifest.note[manifest.note != ""].value_counts().sort_index().to_dict(),
        "identical_pixels": groups(manifest[manifest.sha256.notna()]),
        "other_label": int(manifest.other_label.sum()),
        "animated": int(is_animated(manifest.frames, manifest.format).sum()),
        "counts": [
            {"split": split, "label": label, "colour": colour, "reason": reason, "images": int(count)}
            for (split, label, colour, reason), count in each.items()
        ],
    }


def table(summary: dict) -> str:
    """The summary as lines to print."""
    below = f" (below {summary['root']})" if summary["root"] else ""
    lines = [f"{summary['name']}: {summary['kept']:,} of {summary['images']:,} images kept{below}"]
    lines += [f"  {split:6} {n['kept']:8,} of {n['images']:8,}" for split, n in summary["splits"].items()]
    lines += [f"  removed: {count:8,} {reason}" for reason, count in summary["reasons"].items()]
    lines += [f"  stays:   {count:8,} {note}" for note, count in summary["notes"].items()]
    same = summary["identical_pixels"]
    lines += [
        f"  identical pixels: {same['groups']:,} groups, {same['surplus']:,} surplus images, "
        f"{same['across_splits']:,} groups across splits, {same['other_label']:,} with more than one label"
    ]
    return "\n".join(lines)


def sheets(
    manifest: pd.DataFrame, image: Callable[[str], Image.Image], images: int, tile: int, columns: int
) -> dict[str, Image.Image]:
    """A contact sheet for each reason and note whose images can be shown; a duplicate beside what it duplicates.

    image: gives the picture of an id. images: at most so many on a sheet, the most doubtful first: the least similar;
    fewer where a sheet has no room for them. Each is shrunk as soon as it is read, so that memory stays at the sheets.
    """
    shown, most = manifest[manifest.sha256.notna()], min(images, most_rows(tile, columns))
    found = {}
    for column, title in (("reason", "removed"), ("note", "stays")):
        for name, rows in shown[shown[column] != ""].groupby(column):
            rows = rows.sort_values(["similarity", "id"]).head(most)
            pairs = [
                [fitted(image(id), tile) for id in (id, of) if id] for id, of in zip(rows.id, rows.of, strict=True)
            ]
            found[f"{title}_{name}"] = sheet(pairs, tile, columns)
    return found


def page(summary: dict, manifest: pd.DataFrame, pictures: dict[str, Image.Image]) -> str:
    """A page of HTML that needs no other file: the counts, and each reason with its sheet and its first ids."""
    counts = pd.DataFrame(summary["counts"])
    counts["reason"] = counts.reason.replace("", "kept")
    wide = counts.pivot_table("images", ["split", "label", "colour"], "reason", "sum", 0).reset_index()
    found = []
    for column, title in (("reason", "removed"), ("note", "stays")):
        for name, rows in manifest[manifest[column] != ""].groupby(column):
            sheet = pictures.get(f"{title}_{name}")
            found.append(
                {
                    "title": title,
                    "name": name,
                    "images": len(rows),
                    "meaning": MEANINGS[name],
                    "sheet": sheet and embedded(sheet, "jpeg", quality=75),
                    "ids": list(zip(rows.id[:IDS], rows.of[:IDS], strict=True)),
                }
            )
    context = {"summary": summary, "counts": {"names": list(wide), "rows": wide.values.tolist()}, "found": found}
    return template.page(TEMPLATE, context)

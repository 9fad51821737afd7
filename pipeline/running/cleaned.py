"""What cleaning kept, as a digest, and whether it is still what resized arrays are of."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.images.layout import layout_of
from pipeline.running.errors import UserError
from pipeline.running.files import exists
from pipeline.running.outputs import read_json

AGAIN = "run: python -m pipeline.clean data={name} source=<its folder, .zip or .csv>"


def digest(manifest: pd.DataFrame) -> str:
    """SHA-256 in hex of which images a manifest keeps, their labels and their pixels."""
    kept = manifest[manifest.kept]
    rows = "".join(f"{row.id}\t{row.label}\t{row.sha256}\n" for row in kept[["id", "label", "sha256"]].itertuples())
    return hashlib.sha256(rows.encode()).hexdigest()


def require_same_choices(folder: Path, summary: Mapping, data: Mapping[str, Any]) -> None:
    """UserError when `data`, a file of conf/data/, has another layout or other lists than the `summary` in `folder`."""
    same = {name: sorted(summary[name]) == sorted(data[name]) for name in ("allow", "deny")}
    same |= {"layout": summary.get("layout") == asdict(layout_of(data))}
    for name in same:
        if not same[name]:
            again = AGAIN.format(name=data["name"])
            raise UserError(f"{folder}: was cleaned with another data.{name} than there is now; {again}, and resize")


def summary_of(clean: Path, data: str) -> dict[str, Any] | None:
    """summary.json of the folder `clean`; None when it is not there or of other data."""
    if not exists(clean / "summary.json"):
        return None
    summary = read_json(clean / "summary.json", AGAIN.format(name=data))
    return summary if summary["name"] == data else None


def require_current(arrays: Path, made_from: str, data: Mapping[str, Any], clean: Path) -> None:
    """UserError when the folder `arrays`, made from the images of that digest, is not of what `clean` keeps now.

    `data` is a file of conf/data/. Nothing is looked at when `clean` is gone or of other data.
    """
    if not (summary := summary_of(clean, data["name"])):
        return
    require_same_choices(clean, summary, data)
    if summary["digest"] != made_from:
        again = f"run: python -m pipeline.resize data={data['name']} channels={arrays.name}"
        raise UserError(f"{arrays}: was made of other images than {clean} keeps now; {again}")

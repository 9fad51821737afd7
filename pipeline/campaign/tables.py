"""The tables of a campaign: faces.csv and faces.parquet with a row for each face, ads.csv with one for each file."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import duckdb

from pipeline.campaign.mix import SHOWN, Ad, shares, verdict
from pipeline.labels import LABELS

FACES = {  # column: type in Parquet
    "file": "VARCHAR",
    "second": "DOUBLE",
    "face": "INTEGER",
    "x": "INTEGER",
    "y": "INTEGER",
    "width": "INTEGER",
    "height": "INTEGER",
    "score": "FLOAT",
    "emotion": "VARCHAR",
    "likeliest": "VARCHAR",
    **dict.fromkeys(LABELS, "FLOAT"),
}
_ADS = ("file", "kind", "seconds", "frames", "frames_with_face", "faces", "too_small", "not_read", "note", "looks_like")


class FacesCsv:
    """faces.csv, written row by row; the columns are those of FACES."""

    def __init__(self, file: TextIO):
        self.writer = csv.writer(file)
        self.writer.writerow(FACES)

    def add(self, name: str, second: float | None, faces: list[Mapping[str, Any]]) -> None:
        """The faces of a picture, or of the frame at this second, as `describe` says them; numbered from the left."""
        at = "" if second is None else round(second, 3)
        for number, face in enumerate(sorted(faces, key=lambda face: face["box"]["x"]), 1):
            likely = face["class_probabilities"]
            said = verdict(face), face["predicted_emotion_label"]
            box = (face["box"][side] for side in ("x", "y", "width", "height"))
            row = (harmless(name), at, number, *box, face["score"], *said)
            self.writer.writerow((*row, *(likely[label] for label in LABELS)))


def harmless(text: str) -> str:
    """A cell's text with a ' before what a spreadsheet would run as a formula, and before a ' that is its own there.

    That can be what follows a ; too: where numbers have a decimal comma, Excel takes a ; for the end of a cell.
    """
    return re.sub("(^|;)(?=[-=+@'])", r"\1'", text)


def to_parquet(faces_csv: Path, parquet: Path) -> None:
    """The rows of faces.csv as Parquet, names as the files have them, an empty second as null."""
    with duckdb.connect() as connection:
        # Without hive_partitioning=False a folder named key=value would be a column.
        how = {"header": True, "quotechar": '"', "escapechar": '"', "delimiter": ",", "hive_partitioning": False}
        rows = connection.read_csv(str(faces_csv), dtype=FACES, **how)
        name = r"regexp_replace(file, '(^|;)''', '\1', 'g') AS file"
        rows.project(f"{name}, * EXCLUDE file").write_parquet(str(parquet))


def write_ads(file: TextIO, ads: Iterable[Ad], block_seconds: int, confidence: float) -> None:
    """ads.csv: what was read of each file, and of each kind of SHOWN its share and interval, 0..1, empty if unknown."""
    writer = csv.writer(file)
    kinds = [name.replace(" ", "_") for name in SHOWN]
    writer.writerow([*_ADS, *(f"{kind}{end}" for kind in kinds for end in ("", "_low", "_high"))])
    for ad in ads:
        facts = (ad.kind, round(ad.seconds, 3) if ad.kind == "video" else "", ad.frames, ad.frames_with_face)
        faces = (ad.counts.sum(), ad.too_small, ad.not_read, harmless(ad.note), harmless(ad.looks_like))
        mix = shares(ad.parts(block_seconds), confidence)
        ends = [each[end] for each in mix for end in ("share", "low", "high")] or [None] * 3 * len(kinds)
        writer.writerow([harmless(ad.name), *facts, *faces, *("" if end is None else round(end, 4) for end in ends)])

"""The tables of a campaign: faces.csv and faces.parquet by the face, ads.csv and ads.xlsx by the file."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import duckdb
import xlsxwriter

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
LONGEST = 32_767  # characters of a cell of Excel
_ADS = {  # column: what it is, as the workbook says it
    "file": "where it lies in the campaign",
    "kind": "picture or video",
    "seconds": "how long a video is",
    "frames": "looks taken at it, one at a picture",
    "frames_with_face": "those at which a face was seen",
    "faces": "faces that were read, in a video each once for every look at it",
    "too_small": "faces that were left out because they are too small to be read, counted likewise",
    "not_read": "faces that were left out because there were too many at once, counted likewise",
    "note": "what was wrong with the file, or which one before it is the same",
    "looks_like": "the picture before it that shows the same; for the ranges they are one",
}
_SHARES = {
    f"{name.replace(' ', '_')}{end}": meaning.format(name)
    for name in SHOWN
    for end, meaning in {
        "": 'share of its faces of which it is said: "{}"',
        "_low": 'low end of the range in which the share of "{}" would vary; empty where too few were seen',
        "_high": 'high end of that of "{}"',
    }.items()
}


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
    writer.writerow([*_ADS, *_SHARES])
    for facts, mix in _rows(ads, block_seconds, confidence):
        cells = (harmless(fact) if isinstance(fact, str) else fact for fact in facts)
        writer.writerow([*cells, *("" if end is None else round(end, 4) for end in mix)])


def workbook(ads: Iterable[Ad], block_seconds: int, confidence: float) -> bytes:
    """ads.xlsx: the same, for people: numbers that Excel takes for numbers in every language, shares as percentages.

    Text is text there, whatever it begins with. A second sheet says what the columns are.
    """
    made = BytesIO()  # of a file XlsxWriter makes a full disk an error of its own
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        book.set_properties({"created": datetime(1980, 1, 1)})  # equal campaigns have equal files
        sheet = book.add_worksheet("ads")
        bold, percent = book.add_format({"bold": True}), book.add_format({"num_format": "0.0 %"})
        sheet.write_row(0, 0, [*_ADS, *_SHARES], bold)
        number = 0
        for number, (facts, mix) in enumerate(_rows(ads, block_seconds, confidence), 1):
            for column, fact in enumerate(facts):
                if isinstance(fact, str):
                    sheet.write_string(number, column, fact[:LONGEST])
                else:
                    sheet.write_number(number, column, fact)
            for column, end in enumerate(mix, len(facts)):
                if end is not None:
                    sheet.write_number(number, column, end, percent)
        sheet.autofilter(0, 0, number, len(_ADS) + len(_SHARES) - 1)
        sheet.autofit(300)  # pixels
        sheet.freeze_panes(1, 1)
        legend = book.add_worksheet("columns")
        legend.write_row(0, 0, ["column of ads", "what it is"], bold)
        for number, meaning in enumerate((_ADS | _SHARES).items(), 1):
            legend.write_row(number, 0, meaning)
        legend.autofit(1000)
    return made.getvalue()


def _rows(ads: Iterable[Ad], block_seconds: int, confidence: float) -> Iterator[tuple[list, list[float | None]]]:
    """Of each file what _ADS names, and its _SHARES, None where they are unknown."""
    for ad in ads:
        facts = [ad.name, ad.kind, round(ad.seconds, 3) if ad.kind == "video" else "", ad.frames, ad.frames_with_face]
        facts += [int(ad.counts.sum()), ad.too_small, ad.not_read, ad.note, ad.looks_like]
        mix = shares(ad.parts(block_seconds), confidence)
        yield facts, [each[end] for each in mix for end in ("share", "low", "high")] or [None] * len(_SHARES)

"""Images as lines of a .csv, as FER-2013 was published: the pixels of each, beside its emotion and its split.

The first line names the columns: `emotion`, `pixels` and, where there are splits, `Usage`, in any order, among others
and whatever their case. Such a file is read as folders would be, `<usage>/<emotion>/line_<number in the file>`.
"""

import codecs
import io
import math
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pipeline.running.errors import UserError

COLUMNS = ("emotion", "pixels")  # without one of them it holds no labelled images
SPLIT = "usage"


class Line(NamedTuple):
    """Where an image is: the first byte of its line, the length in bytes, and which of its values the pixels are."""

    start: int
    length: int
    column: int


def lines_of(path: Path) -> dict[str, Line]:
    """The lines of a .csv, each an image, by the image's path. UserError names what is missing, or the line."""
    found, start = {}, 0
    try:
        with path.open("rb") as file:
            header = file.readline()
            titles = _values(header.removeprefix(codecs.BOM_UTF8))
            names = [name.decode("utf-8", "replace").lower() for name in titles]
            if missing := [name for name in COLUMNS if name not in names]:
                raise UserError(
                    f"{path}: no column {missing[0]!r} in its first line; expected are emotion, pixels and Usage"
                )
            start, at = len(header), {name: names.index(name) for name in (*COLUMNS, SPLIT) if name in names}
            for number, line in enumerate(file, 2):
                if line.strip():
                    folders = _folders(path, number, _values(line), len(names), at)
                    found["/".join([*folders, f"line_{number}"])] = Line(start, len(line), at["pixels"])
                start += len(line)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); grant access to it") from None
    return found


def _folders(path: Path, number: int, values: list[bytes], columns: int, at: dict[str, int]) -> list[str]:
    """The split, where there is one, and the emotion that a line says."""
    if len(values) != columns:
        raise UserError(
            f"{path}: line {number} has {len(values)} values, its first line {columns}; expected are commas between "
            "columns and spaces between pixels"
        )
    said = [values[at[name]].decode("utf-8", "replace") for name in (SPLIT, "emotion") if name in at]
    if wrong := [name for name in said if not name or "/" in name]:
        raise UserError(f"{path}: line {number} has {wrong[0]!r} as emotion or Usage; mend the line or take it away")
    return said


def _values(line: bytes) -> list[bytes]:
    """The values of a line; quotes about them may stand or not, for none has a comma inside."""
    return [value.strip().strip(b'"').strip() for value in line.split(b",")]


def png(path: Path, line: Line) -> bytes:
    """The image of a line, gray and square, as the bytes of a PNG file. OSError says why where it is none."""
    with path.open("rb") as file:
        file.seek(line.start)
        values = _values(file.read(line.length))
    try:
        pixels = bytes(map(int, values[line.column].split()))
    except (IndexError, ValueError) as error:  # the latter also for a number that no pixel has
        raise OSError(f"pixels are whole numbers from 0 to 255, with spaces between ({error})") from None
    side = math.isqrt(len(pixels))
    if not side or side * side != len(pixels):
        raise OSError(f"{len(pixels)} pixels, which make no square")
    found = io.BytesIO()
    Image.frombytes("L", (side, side), pixels).save(found, "PNG", compress_level=1)
    return found.getvalue()

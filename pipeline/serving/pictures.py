"""From the bytes of a picture to the faces in it and what they show: the same steps for the API and for a campaign."""

import io
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pipeline.images.decode import Decoded, decode, sniff
from pipeline.images.shape import resized
from pipeline.labels import ENCODINGS, LABELS
from pipeline.serving.faces import Detector, Face, cut_out
from pipeline.serving.model import Model

FORMATS = ("JPEG", "PNG", "WEBP")
ANIMATED = "The picture is animated; only its first frame was read."

WHY_NOT = {  # reason: HTTP status, words
    "not_an_image": (415, "This is not a picture that can be read; JPEG, PNG and WEBP can."),
    "zero_bytes": (422, "The file is empty."),
    "truncated": (422, "The file ends before the picture does; it was probably not copied or downloaded to its end."),
    "corrupt": (422, "The file starts as a picture and is damaged further on."),
    "too_many_pixels": (413, "The picture has too many pixels; make it smaller."),
    "too_many_parts": (
        422,
        "The picture is made of more parts than any camera writes; save it anew as an ordinary JPEG.",
    ),
    "too_narrow": (422, "The picture is too long and narrow to look for faces in."),
    "too_many_bytes": (413, "The file is too large; make it smaller."),
}

# How other pictures, and documents that hold some, begin: within so many bytes they can be called by their names.
HEAD = 1024
_NOT_READ = ", which is not read; save it as PNG or JPEG."
_BY_NAME = {
    rb".{4}ftyp(hei[cmsx]|hev[cx]|mif1|msf1|avi[fs])": "a HEIC or AVIF picture; save it as JPEG.",
    rb".{4}ftypcrx |II\*\0.{4}CR|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR": "a camera's RAW picture; save it as JPEG.",
    rb"GIF8[79]a": f"a GIF picture{_NOT_READ}",
    rb"II[*+]\0|MM\0[*+]": f"a TIFF picture{_NOT_READ}",
    rb"BM.{4}\0{4}": f"a BMP picture{_NOT_READ}",
    rb"(\xef\xbb\xbf)?\s*(<(\?xml|!--|!DOCTYPE svg).*?)?<svg\b": f"an SVG picture{_NOT_READ}",
    rb"8BPS": f"a Photoshop picture{_NOT_READ}",
    rb"%PDF-": f"a PDF document{_NOT_READ}",
}


class Unreadable(Exception):
    """A picture that can't be read; `reason` is a key of WHY_NOT, `words` say more than its words there."""

    def __init__(self, reason: str, words: str | None = None):
        super().__init__(words or WHY_NOT[reason][1])
        self.reason = reason


@dataclass(frozen=True)
class Seen:
    """What was found in a picture. faces: those to be read, the largest first; crops: uint8 [faces, *model.shape].

    too_small, not_read: how many more there are, under the smallest side and beyond the most that are read.
    animated: whether the picture is the first of an animation. orientation: of EXIF, how the stored picture was turned.
    """

    width: int
    height: int
    faces: list[Face]
    crops: np.ndarray
    too_small: int
    not_read: int
    animated: bool
    orientation: int


def check_bytes(data: bytes, most: int) -> None:
    """Unreadable for a file of more than so many bytes."""
    if len(data) > most:
        raise too_large(len(data), most)


def too_large(size: int, most: int, advice: str = "make it smaller, {} at most") -> Unreadable:
    """What is said of a file of more bytes than it may have; in `advice` {} stands for how many that are."""
    words = f"The file is too large, {_tenths_up(size / 2**20)} MB; {advice.format(f'{most / 2**20:,g} MB')}."
    return Unreadable("too_many_bytes", words)


def open_picture(data: bytes, pixels: int) -> Decoded:
    """A JPEG, PNG or WEBP of at most so many pixels, upright; Unreadable otherwise."""
    if data and sniff(data) not in FORMATS:
        raise Unreadable("not_an_image", by_name(data))
    decoded = decode(data, pixels)
    if isinstance(decoded, Decoded):
        return decoded
    if decoded.reason == "too_many_pixels":
        raise too_many_pixels("picture", _stated_size(data), pixels)
    raise Unreadable(decoded.reason)


def by_name(data: bytes) -> str | None:
    """What is said of a picture of a format that is not read, by its first bytes; None where it can't be named."""
    found = (what for start, what in _BY_NAME.items() if re.match(start, data[:HEAD], re.DOTALL))
    return next((f"This is {what}" for what in found), None)


def too_many_pixels(what: str, size: tuple[int, int] | None, most: int) -> Unreadable:
    """What is said of a picture or video of over so many pixels; `size` is width and height, None if not known."""
    stated = f", {size[0]:,} x {size[1]:,} = {_tenths_up(size[0] * size[1] / 1e6)} million" if size else ""
    words = f"The {what} has too many pixels{stated}; make it smaller, {most / 1e6:g} million at most."
    return Unreadable("too_many_pixels", words)


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG or PNG says it has; None where Pillow takes memory or fright to tell."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that it is half-way to what Pillow refuses
            return Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]).size
    except (Image.DecompressionBombError, Image.UnidentifiedImageError):
        return None


def _tenths_up(value: float) -> str:
    """Rounded up to a tenth, so that what is over a limit is so in words as well."""
    return f"{math.ceil(10 * value) / 10:,g}"


def look(
    rgb: np.ndarray, detector: Detector, shape: tuple[int, int, int], animated: bool = False, orientation: int = 1
) -> Seen:
    """Find the faces and cut them out as a model of this input shape wants them; Unreadable for a narrow strip."""
    settings = detector.settings
    if max(rgb.shape[:2]) > settings["aspect"] * min(rgb.shape[:2]):
        raise Unreadable("too_narrow")
    found = detector.find(rgb)
    readable = [face for face in found if min(face.width, face.height) >= settings["smallest"]]
    faces = readable[: settings["most"]]
    crops = np.empty((len(faces), *shape), np.uint8)
    for row, face in enumerate(faces):
        crops[row] = resized(Image.fromarray(cut_out(rgb, face, settings["frame"])), shape[0], shape[2])
    height, width = rgb.shape[:2]
    too_small, not_read = len(found) - len(readable), len(readable) - len(faces)
    return Seen(width, height, faces, crops, too_small, not_read, animated, orientation)


def describe(seen: Seen, probabilities: np.ndarray, model: Model) -> dict[str, Any]:
    """The answer about one picture; the emotion of the picture is that of its largest face, None without a face."""
    certain = model.certain(probabilities)
    faces = [
        {"box": {"x": face.x, "y": face.y, "width": face.width, "height": face.height}, "score": round(face.score, 4)}
        | emotion(row, sure)
        for face, row, sure in zip(seen.faces, probabilities, certain, strict=True)
    ]
    return {
        **({key: faces[0][key] for key in NOTHING} if faces else NOTHING),
        "label_encodings": ENCODINGS,
        "faces": faces,
        "words": words(seen),
        "too_small": seen.too_small,
        "not_read": seen.not_read,
        "animated": seen.animated,
        "orientation": seen.orientation,
        "width": seen.width,
        "height": seen.height,
        "model": {"name": model.about["model"], "version": model.about["version"]},
    }


NOTHING: Mapping[str, Any] = {
    "predicted_emotion": None,
    "predicted_emotion_label": None,
    "certain": False,
    "class_probabilities": None,
}


def emotion(probabilities: np.ndarray, certain: bool) -> dict[str, Any]:
    """One face's answer: the likeliest emotion by number and name, whether it is likely enough, all by name."""
    best = int(probabilities.argmax())
    return {
        "predicted_emotion": best,
        "predicted_emotion_label": LABELS[best],
        "certain": bool(certain),
        "class_probabilities": {label: round(float(p), 6) for label, p in zip(LABELS, probabilities, strict=True)},
    }


def words(seen: Seen) -> str:
    """What was found, for people."""
    count = len(seen.faces)
    said = [
        {0: "No face was found in this picture.", 1: "One face was found."}.get(count, f"{count} faces were found.")
    ]
    if seen.too_small:
        if not count:
            said = []
        faces, they = ("face is", "it") if seen.too_small == 1 else ("faces are", "them")
        said.append(f"{seen.too_small} {faces} too small to read; a closer picture would show {they}.")
    if seen.not_read:
        said.append(f"{seen.not_read} more were left out, the smallest ones.")
    if seen.animated:
        said.append(ANIMATED)
    return " ".join(said)

"""What is cut out of a picture and which of its faces speaks for it."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.labels import LABELS
from pipeline.serving.faces import Detector, Face
from pipeline.serving.pictures import HEAD, by_name, describe, look
from serving.drawn import portrait


def test_crops_have_the_channels_of_the_picture_red_first(face_settings):
    red = np.full((120, 120, 3), (200, 0, 0), np.uint8)
    detector = SimpleNamespace(settings=face_settings, find=lambda rgb: [Face(40, 40, 48, 48, 1)])
    assert look(red, detector, (48, 48, 3)).crops.mean((0, 1, 2)).tolist() == [200, 0, 0]


def test_the_largest_face_comes_first_and_its_emotion_is_the_pictures(face_settings):
    picture = Image.new("RGB", (640, 280), (120, 120, 120))
    picture.paste(portrait(side=120), (20, 80))
    picture.paste(portrait(side=260), (360, 10))
    seen = look(np.asarray(picture), Detector(face_settings), (48, 48, 3))
    large, small = seen.faces
    assert large.x > 360 > 140 > small.x and large.width > 1.5 * small.width
    model = SimpleNamespace(certain=lambda p: p.max(1) > 0.5, about={"model": "tiny", "version": 1})
    answer = describe(seen, np.eye(7)[[3, 5]], model)
    assert answer["predicted_emotion_label"] == LABELS[3] and answer["faces"][0]["box"]["x"] == large.x


def saved_as(kind: str) -> bytes:
    file = io.BytesIO()
    portrait(side=64).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    (
        (saved_as("GIF"), "a GIF picture"),
        (saved_as("TIFF"), "a TIFF picture"),
        (saved_as("BMP"), "a BMP picture"),
        (saved_as("AVIF"), "a HEIC or AVIF picture"),
        (b"MM\0*" + bytes(9), "a TIFF picture"),
        (b"\0\0\0\nftypmif1", "a HEIC or AVIF picture"),
        (b"\0\0\0\x18ftypcrx ", "a camera's RAW picture"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's RAW picture"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's RAW picture"),
        (b"8BPS\0\1", "a Photoshop picture"),
        (b"%PDF-1.7", "a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG picture"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- made by -->\n<svg>", "an SVG picture"),
        (b"<!DOCTYPE svg PUBLIC ''>\n<svg>", "an SVG picture"),
    ),
)
def test_a_picture_of_a_format_that_is_not_read_is_called_by_its_name(data, name):
    assert by_name(data).startswith(f"This is {name}")


@pytest.mark.parametrize(
    "data",
    (
        b"", b"BMW, our spring campaign", b"MMXXVI", b"II. Act", b"<!DOCTYPE html><svg>", b"<?xml version='1.0'?><a/>",
        b"<svgs>", b" " * HEAD + b"<svg>", b"\0\0\0\x18ftypmp42", b"words",
    ),
)  # fmt: skip
def test_what_can_not_be_named_is_not(data):
    assert by_name(data) is None

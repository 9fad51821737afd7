"""The planted faults of the drawn data set: files that cleaning has to find, by the names conf/draw.yaml gives them."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.drawing.camera import jpeg

NEAR = ("recompressed", "resized", "mirrored", "cropped", "brightened")  # copies that differ in their pixels


def not_an_image(number: int) -> bytes:
    """A web page under the name of a photo."""
    return f"<html><body><h1>404 Not Found</h1><p>Picture {number} is gone.</p></body></html>\n".encode()


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file `data` cut in the middle."""
    return data[: int(len(data) * rng.uniform(0.5, 0.65))]


def blank(nth: int, side: int) -> bytes:
    """White, black or gray all over; the `nth` is larger than those before, so that no two are the same."""
    side += 5 * nth
    image = Image.new("L", (side, side), (255, 0, 128)[nth % 3])
    return jpeg(image if nth % 2 else image.convert("RGB"), 90)


def placeholder(nth: int, side: int, rng: np.random.Generator) -> bytes:
    """The `nth` card that stands for a missing photo: words, a warning triangle, three dots, or a camera."""
    side += 7 * nth
    light = int(rng.integers(215, 256))
    image = Image.new("RGB", (160, 160), (light, light, min(255, light + 6)))
    pen, ink = ImageDraw.Draw(image), (int(rng.integers(70, 150)),) * 3
    kind = nth % 4
    if kind == 0:
        words = ("photo moved\nor deleted", "image not\navailable", "no longer\navailable")[nth // 4 % 3]
        pen.multiline_text((80, 80), words, ink, ImageFont.load_default(21), anchor="mm", align="center")
    elif kind == 1:
        pen.polygon(((80, 30), (135, 125), (25, 125)), (226, 176, 40), ink, 5)
        pen.text((80, 92), "!", ink, ImageFont.load_default(60), anchor="mm")
    elif kind == 2:
        for x in (45, 80, 115):
            pen.ellipse((x - 11, 69, x + 11, 91), ink)
    else:
        pen.rounded_rectangle((28, 52, 132, 120), 10, ink)
        pen.rectangle((60, 40, 100, 55), ink)
        pen.ellipse((57, 63, 103, 109), ink, image.getpixel((0, 0)), 7)
        pen.line((24, 134, 136, 32), (200, 60, 60), 7)
    return jpeg(image.resize((side, side), Image.Resampling.LANCZOS), 90)


def repeat(data: bytes, fault: str, nth: int) -> bytes:
    """The file `data` once more: pixel by pixel the same (at times with other bytes), or altered as the fault says."""
    if fault not in NEAR:
        if nth % 2:
            return data
        comment = f"copy {nth}".encode()  # as a COM segment, which changes the bytes and no pixel
        return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
    image = Image.open(BytesIO(data))
    side = image.width
    if fault == "recompressed":
        return jpeg(image, 40)
    if fault == "resized":
        image = image.resize((round(0.8 * side),) * 2, Image.Resampling.BICUBIC)
    elif fault == "mirrored":
        image = ImageOps.mirror(image)
    elif fault == "cropped":
        image = ImageOps.crop(image, max(1, round(0.04 * side)))
    else:
        image = image.point(lambda value: min(255, round(1.2 * value)))
    return jpeg(image, 90)

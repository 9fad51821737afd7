"""From a drawing to a photo of it: what lies behind the face, and what a camera does to the picture."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.drawing.faces import muted


def backdrop(side: int, rng: np.random.Generator) -> Image.Image:
    """A background: two colours that run into each other, often with blurred things in it."""
    corners = np.array([[muted(rng.uniform(15, 240, 3)) for _ in range(2)] for _ in range(2)], np.uint8)
    small = Image.fromarray(corners).resize((64, 64), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(small)
    for _ in range(int(rng.integers(0, 7))):
        x, y, w, h = rng.uniform(-10, 64, 2).tolist() + rng.uniform(6, 45, 2).tolist()
        shape = pen.rectangle if rng.random() < 0.6 else pen.ellipse
        shape((x, y, x + w, y + h), muted(rng.uniform(10, 245, 3)))
    return small.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4))).resize((side, side), Image.Resampling.BICUBIC)


def photograph(drawing: Image.Image, side: int, camera: Mapping, rng: np.random.Generator) -> bytes:
    """A JPEG of the drawing, `side` pixels a side: blurred, exposed, noisy, gray or not, as `camera` says."""
    radius = rng.uniform(*camera["blur"]) / 100 * side
    kind = rng.random()
    gray = kind < camera["gray_share"] + camera["gray_colour_share"]
    image = drawing.convert("L") if gray else drawing
    image = image.resize((side, side), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(radius))
    values = np.asarray(image, np.float32)
    exposure, contrast = rng.uniform(*camera["exposure"]), rng.uniform(*camera["contrast"])
    values = (values * exposure - 128 * exposure) * contrast + 128 * exposure
    values = values + rng.normal(0, rng.uniform(*camera["noise"]), values.shape)
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    image = image.convert("RGB") if gray and kind >= camera["gray_share"] else image
    return jpeg(image, int(rng.integers(camera["quality"][0], camera["quality"][1] + 1)))


def jpeg(image: Image.Image, quality: int) -> bytes:
    """The image as the bytes of a JPEG file."""
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()

"""Drawn faces and scenes to serve. As a script it draws the page's samples: python -m tests.serving.drawn"""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from pipeline.drawing.camera import backdrop
from pipeline.drawing.faces import action_units, random_person, random_shot
from pipeline.drawing.sketch import draw_face
from pipeline.running.cli import CONF

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "pipeline/serving/page/samples"


@cache
def values() -> dict:
    """conf/draw.yaml; not to be changed."""
    return OmegaConf.to_container(OmegaConf.load(CONF / "draw.yaml"))


def face(emotion: str, seed: int, behind: Image.Image, zoom: float) -> Image.Image:
    """A person (of the seed) who shows the emotion of a class folder, on a square; zoom: half a head, of its side."""
    given, rng = values(), np.random.default_rng(seed)
    person, shot = random_person(rng), random_shot(given["view"], rng)
    units = action_units(given["emotions"][emotion], given["expression"] | {"strength": [0.95, 1.1], "stray": 0}, rng)
    return draw_face(person, units, replace(shot, zoom=zoom), behind, rng)


def portrait(emotion: str = "happy", seed: int = 3, side: int = 320) -> Image.Image:
    """One face that fills most of a square, as a crop does."""
    large = face(emotion, seed, backdrop(2 * side, np.random.default_rng(seed)), 0.42)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def group(people: Sequence[tuple[str, int]], seed: int, height: int = 560) -> Image.Image:
    """People beside each other, (emotion, seed) each."""
    side, step = 2 * height, int(1.15 * height)
    width = step * (len(people) - 1) + side
    wide = backdrop(width, np.random.default_rng(seed)).crop((0, width // 2 - height, width, width // 2 + height))
    for place, (emotion, who) in enumerate(people):
        left = place * step
        wide.paste(face(emotion, who, wide.crop((left, 0, left + side, side)), 0.3), (left, 0))
    return wide.resize((width // 2, height), Image.Resampling.LANCZOS)


def enlarged(image: Image.Image, times: int) -> Image.Image:
    """The image with as many times the pixels along each side, which is quicker than to draw it so."""
    return image.resize((times * image.width, times * image.height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    """The image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def main() -> None:
    """Write the samples."""
    pictures = {
        "three.jpg": group([("happy", 41), ("surprise", 24), ("happy", 33)], 5),
        "portrait.jpg": portrait("surprise", 62, 480),
        "audience.jpg": group([("neutral", 8), ("happy", 45), ("sad", 12), ("disgust", 19), ("happy", 28)], 11, 480),
        "empty.jpg": backdrop(640, np.random.default_rng(4)).crop((0, 100, 640, 540)),
    }
    SAMPLES.mkdir(exist_ok=True)
    for name, image in pictures.items():
        (SAMPLES / name).write_bytes(encoded(image, quality=82, optimize=True))


if __name__ == "__main__":
    main()

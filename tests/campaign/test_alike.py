"""Pictures that show the same are told, in whatever size and format, and others are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from serving.drawn import group, portrait

from pipeline.campaign.alike import groups, looks

SAME = 0.92  # as in conf/analyze.yaml


def of(*pictures: Image.Image) -> list[int]:
    return groups([looks(np.asarray(picture)) for picture in pictures], SAME)


@pytest.fixture(scope="module")
def wide() -> Image.Image:
    return group([("happy", 41), ("surprise", 24), ("happy", 33)], 5)


def test_one_visual_in_several_sizes_and_qualities_is_one(wide):
    saved = io.BytesIO()
    wide.save(saved, "JPEG", quality=40)
    sizes = [wide.resize((round(wide.width * scale), round(wide.height * scale))) for scale in (0.25, 0.6, 1.7)]
    assert of(wide, *sizes, Image.open(saved)) == [0] * 5


@pytest.mark.parametrize("aspect", (1, 4 / 5, 9 / 16, 4 / 3))
def test_one_that_is_cut_to_another_format_is_the_same(wide, aspect):
    high, across = wide.height, round(wide.height * aspect)
    left = (wide.width - across) // 2
    cut = wide.crop((left, 0, left + across, high)).resize((across // 2, high // 2))
    assert of(cut, portrait("sad", 7), wide) == [0, 1, 0]


def test_what_is_the_same_as_a_third_is_the_same():
    along, across = np.eye(1, 256), np.eye(1, 256, 1)
    turned = [along * np.cos(angle) + across * np.sin(angle) for angle in np.radians((0, 40, 20))]
    assert groups(turned[:2], SAME) == [0, 1] and groups(turned, SAME) == [0, 0, 0]
    assert groups([turned[0], np.eye(1, 256, 7), *turned[1:]], SAME) == [0, 1, 0, 0]


def test_other_people_on_the_same_ground_are_others():
    assert of(*(portrait(emotion, seed) for emotion, seed in (("happy", 3), ("sad", 7), ("fear", 11)))) == [0, 1, 2]
    assert of(*(group([("happy", a), ("sad", b)], 5) for a, b in ((41, 24), (24, 33), (12, 18)))) == [0, 1, 2]


def test_a_picture_of_one_colour_is_like_no_other():
    plain = [Image.new("RGB", (300, 200), colour) for colour in ("white", "navy")]
    line = plain[0].copy()
    ImageDraw.Draw(line).line((0, 0, 300, 200), fill="black", width=9)
    assert of(*plain, line, portrait()) == [0, 1, 2, 3]
    assert of() == [] and of(Image.new("RGB", (1, 1))) == [0]

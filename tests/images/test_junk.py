"""Placeholders are found by content; pictures, dark and pale ones above all, are not taken for one."""

import numpy as np
import pytest
from conftest import composed
from omegaconf import OmegaConf
from PIL import Image, ImageDraw
from trees import picture

from pipeline import draw
from pipeline.images import facts, junk
from pipeline.images.decode import decode


@pytest.fixture(scope="module")
def rule() -> dict:
    return OmegaConf.to_container(composed("clean", "data=own").looks.placeholder)


def judged(image: Image.Image, rule: dict) -> bool:
    small = np.asarray(image.convert("L").resize((48, 48), Image.Resampling.BICUBIC))
    figures = facts.figures(facts.histograms(small[None]))
    return junk.placeholders(small[None], figures["entropy"], figures["std"], rule)[0]


def card(draw, background: int = 245) -> Image.Image:
    image = Image.new("L", (96, 96), background)
    draw(ImageDraw.Draw(image))
    return image


def test_text_card(rule):
    lines = "The image is\ncurrently\nunavailable"
    assert judged(card(lambda on: on.multiline_text((8, 20), lines, fill=60)), rule)


def test_warning_triangle(rule):
    assert judged(card(lambda on: on.polygon([(48, 30), (70, 70), (26, 70)], outline=255, width=4), 0), rule)


def test_three_dots(rule):
    def dots(on):
        on.rounded_rectangle((8, 24, 88, 72), 10, fill=130)
        for left in (28, 44, 60):
            on.ellipse((left, 44, left + 8, 52), fill=215)

    assert judged(card(dots, 205), rule)


def test_pictures_are_no_placeholders(rule):
    assert not any(judged(picture(seed), rule) for seed in range(50))


def test_faces_are_looked_for_unless_an_image_is_too_flat_to_hold_one(rule, monkeypatch):
    monkeypatch.setattr(junk, "face_votes", lambda small, enough: enough)  # a face in whatever is looked at
    assert not judged(card(lambda on: on.multiline_text((8, 20), "some\nwords\nonly", fill=60, font_size=22)), rule)
    assert judged(card(lambda on: on.polygon([(48, 30), (70, 70), (26, 70)], outline=255, width=4), 0), rule)


def test_no_face_is_lost_for_a_quick_look_first(monkeypatch):
    def whatever_the_quick_look_says(cascade, view, step, others, smallest):
        return seen(cascade, view, step, others, smallest) if others else 1

    values = OmegaConf.to_container(composed("draw"))
    drawn = [draw.content(draw.Picture(f"train/happy/{number}.jpg", number, number), values) for number in range(8)]
    small = [np.asarray(decode(data, 10**6).image.convert("L").resize((48, 48))) for data in drawn]
    quick, seen = [junk.face_votes(image, 2) == 2 for image in small], junk._seen
    monkeypatch.setattr(junk, "_seen", whatever_the_quick_look_says)
    assert quick == [junk.face_votes(image, 2) == 2 for image in small]
    assert sum(quick) >= 5


@pytest.mark.parametrize("divide", [8, 16])
def test_dark_pictures_are_no_placeholders(rule, divide):
    dark = [Image.fromarray(np.asarray(picture(seed)) // divide) for seed in range(30)]
    assert not any(judged(image, rule) for image in dark)


def test_figures():
    small = np.zeros((3, 48, 48), np.uint8)
    small[1, :, ::2] = 100  # two levels, half each
    small[2, 0, :5] = 255  # a speck on nothing
    found = facts.figures(facts.histograms(small))
    assert found["mean"][:2].tolist() == [0, 50]
    assert found["std"][:2].tolist() == [0, 50]
    assert found["entropy"][:2].tolist() == [0, 1]
    assert found["spread"].tolist() == [0, 100, 0]

"""What a drawn face is made of: who it is (`Person`), what it does (FACS action units), how it is seen (`Shot`).

An expression is a mapping of action units to intensities in 0..1, e.g. `{"AU6": 0.8, "AU12": 1.0}` for a smile, after
Ekman & Friesen, Facial Action Coding System (1978): AU1/2 inner/outer brow raiser, 4 brow lowerer, 5 upper lid raiser,
6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser, 12 lip corner puller, 15 lip corner depressor,
16 lower lip depressor, 17 chin raiser, 20 lip stretcher, 23/24 lip tightener/pressor, 25 lips part, 26 jaw drop,
27 mouth stretch, 43 eyes closing. An absent unit is 0.

Lengths are in face coordinates: 1.0 = half the height of the head (see `pipeline.drawing.canvas`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SKINS = np.array([(250, 220, 198), (236, 196, 166), (214, 166, 130), (176, 124, 88), (126, 82, 56), (84, 54, 40)])
HAIRS = ((28, 24, 24), (58, 40, 30), (98, 66, 42), (168, 126, 74), (214, 182, 122), (142, 66, 34), (120, 118, 118))
IRISES = ((66, 42, 28), (92, 64, 36), (84, 104, 62), (82, 122, 156), (104, 116, 124))
HAIR_STYLES = ("short", "short", "parted", "parted", "fringe", "long", "long", "bob", "curly", "bald", "scarf", "cap")
UNITS = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 16, 17, 20, 23, 24, 25, 26, 27, 43))  # that are drawn
BEARDS = (*["none"] * 9, "stubble", "moustache", "goatee", "full")
GLASSES = (*["none"] * 6, "round", "square")


@dataclass(frozen=True)
class Person:
    """An identity: colours as RGB 0..255, styles by name, lengths in face coordinates, `age` and `freckles` in 0..1."""

    skin: tuple
    hair_colour: tuple
    cloth: tuple
    iris: tuple
    hair: str
    beard: str
    glasses: str
    age: float
    freckles: float
    width: float  # half the width of the head
    jaw: float  # width of the jaw, of `width`
    chin: float  # width of the chin, of `width`
    eye: float  # size of the eyes, 1 = usual
    gap: float  # middle of the face to middle of an eye
    brow: float  # thickness of the brows
    brow_y: float
    nose: float  # half the width of the nose
    nose_y: float
    mouth: float  # half the width of the mouth
    mouth_y: float
    lip: float  # thickness of a lip
    hairline: float  # height of the hairline
    volume: float  # hair beyond the skull
    part: float  # where the hair is parted, -1..1


@dataclass(frozen=True)
class Shot:
    """One view: degrees for `yaw`, `pitch`, `roll` and the light's `azimuth`, `elevation`; 0..1 for the rest."""

    yaw: float
    pitch: float
    roll: float
    zoom: float  # half the height of the head, of the side of the picture
    dx: float
    dy: float
    azimuth: float
    elevation: float
    ambient: float  # share of the light that comes from everywhere
    gaze: tuple  # where the irises point, x and y, in radii of an iris


def random_person(rng: np.random.Generator) -> Person:
    """Any person; traits are independent of each other, but for beards and baldness, which do not meet long hair."""
    tone = rng.uniform(0, len(SKINS) - 1)
    skin = np.array([np.interp(tone, range(len(SKINS)), channel) for channel in SKINS.T])
    skin *= rng.uniform(0.93, 1.02) * rng.uniform(0.98, 1.02, 3)
    hair = str(rng.choice(HAIR_STYLES))
    age = float(rng.beta(1.2, 2))
    colour = np.array(HAIRS[rng.integers(3 if tone > 3.5 else len(HAIRS))]) * rng.uniform(0.85, 1.15)
    colour = colour + (np.array((196, 194, 192)) - colour) * (age > 0.55) * rng.uniform(0.2, 1)
    beard = str(rng.choice(BEARDS)) if hair in ("short", "parted", "bald", "curly", "cap") else "none"

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    return Person(
        rgb(skin), rgb(colour), muted(rng.uniform(20, 230, 3)), IRISES[rng.integers(2 if tone > 3 else len(IRISES))],
        hair, beard, str(rng.choice(GLASSES)), age, float(rng.random() * (rng.random() < 0.2)),
        width=between(0.7, 0.84), jaw=between(0.7, 0.86), chin=between(0.3, 0.46), eye=between(1.05, 1.25),
        gap=between(0.31, 0.36), brow=between(0.05, 0.085), brow_y=between(-0.36, -0.31), nose=between(0.11, 0.17),
        nose_y=between(0.27, 0.34), mouth=between(0.28, 0.34), mouth_y=between(0.57, 0.61), lip=between(0.055, 0.1),
        hairline=between(-0.8, -0.62), volume=between(1.04, 1.16), part=between(-0.6, 0.6),
    )  # fmt: skip


def random_shot(view: Mapping, rng: np.random.Generator) -> Shot:
    """Any view within the limits of `view`, the group of that name in conf/draw.yaml."""
    return Shot(
        *(rng.uniform(-view[name], view[name]) for name in ("yaw", "pitch", "roll")),
        rng.uniform(*view["zoom"]), *rng.uniform(-view["shift"], view["shift"], 2),
        rng.uniform(-view["azimuth"], view["azimuth"]), rng.uniform(*view["elevation"]), rng.uniform(*view["ambient"]),
        tuple(rng.uniform(-view["gaze"], view["gaze"], 2)),
    )  # fmt: skip


def action_units(prototype: Mapping, expression: Mapping, rng: np.random.Generator) -> dict[str, float]:
    """One showing of an emotion: the intensity (0..1) of each action unit that is there."""
    strength = rng.uniform(*expression["strength"])
    units = {}
    for unit, (intensity, probability) in prototype.items():
        if rng.random() < probability:
            units[unit] = float(np.clip(strength * intensity + rng.normal(0, expression["jitter"]), 0.05, 1))
    if rng.random() < expression["stray"]:
        stray = str(rng.choice(UNITS))
        units[stray] = max(units.get(stray, 0.0), rng.uniform(*expression["stray_intensity"]))
    return units


def muted(colour: Sequence[float]) -> tuple[int, int, int]:
    """The RGB colour half way to the gray of its mean, as most things around people are."""
    return mix(colour, [float(np.mean(colour))] * 3, 0.5)


def rgb(colour: Sequence[float]) -> tuple[int, int, int]:
    """The colour in whole values, 0..255."""
    return tuple(int(c) for c in np.clip(colour, 0, 255))


def mix(a: Sequence[float], b: Sequence[float], share: float) -> tuple[int, int, int]:
    """Colour `a` with `share` (0..1) of colour `b`."""
    return rgb(np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share)

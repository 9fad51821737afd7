"""A drawn face: who it is (`Person`), what it does (FACS action units), how it is seen (`Shot`), and the picture.

An expression is a mapping of action units to intensities in 0..1, e.g. `{"AU6": 0.8, "AU12": 1.0}` for a smile, after
Ekman & Friesen, Facial Action Coding System (1978): AU1/2 inner/outer brow raiser, 4 brow lowerer, 5 upper lid raiser,
6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser, 12 lip corner puller, 15 lip corner depressor,
16 lower lip depressor, 17 chin raiser, 20 lip stretcher, 23/24 lip tightener/pressor, 25 lips part, 26 jaw drop,
27 mouth stretch, 43 eyes closing. An absent unit is 0.

Face coordinates: x to the viewer's right, y down, origin in the middle of the head, 1.0 = half the height of the head.
Points lie on an ellipsoid, which is turned by the pose and projected in parallel; shade is Lambert's on that ellipsoid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

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
        _rgb(skin), _rgb(colour), muted(rng.uniform(20, 230, 3)), IRISES[rng.integers(2 if tone > 3 else len(IRISES))],
        hair, beard, str(rng.choice(GLASSES)), age, float(rng.random() * (rng.random() < 0.2)),
        width=between(0.7, 0.84), jaw=between(0.7, 0.86), chin=between(0.3, 0.46), eye=between(1.05, 1.25),
        gap=between(0.31, 0.36), brow=between(0.05, 0.085), brow_y=between(-0.36, -0.31), nose=between(0.11, 0.17),
        nose_y=between(0.27, 0.34), mouth=between(0.28, 0.34), mouth_y=between(0.57, 0.61), lip=between(0.055, 0.1),
        hairline=between(-0.8, -0.62), volume=between(1.04, 1.16), part=between(-0.6, 0.6),
    )  # fmt: skip


def draw_face(
    person: Person, units: Mapping[str, float], shot: Shot, backdrop: Image.Image, rng: np.random.Generator
) -> Image.Image:
    """The picture, in the size of `backdrop` (square, RGB, the background); `rng` draws strands and freckles."""
    sketch = _Sketch(person, units, shot, backdrop)
    sketch.body()
    sketch.head(rng)
    sketch.wrinkles()
    sketch.nose()
    sketch.mouth()
    for side in (-1, 1):
        sketch.eye(side)
        sketch.brow(side)
    sketch.hair(rng)
    sketch.spectacles()
    return sketch.lit(rng)


def muted(colour: Sequence[float]) -> tuple[int, int, int]:
    """The RGB colour half way to the gray of its mean, as most things around people are."""
    return _mix(colour, [float(np.mean(colour))] * 3, 0.5)


def _rgb(colour: Sequence[float]) -> tuple[int, int, int]:
    return tuple(int(c) for c in np.clip(colour, 0, 255))


def _mix(a: Sequence[float], b: Sequence[float], share: float) -> tuple[int, int, int]:
    """Colour `a` with `share` (0..1) of colour `b`."""
    return _rgb(np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share)


def _smooth(points: Sequence, closed: bool = False, per: int = 6) -> np.ndarray:
    """Catmull-Rom spline through (N, 2) `points`, `per` new points for each span."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.arange(per)[:, None] / per
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    spans = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return spans.reshape(-1, 2) if closed else np.concatenate([spans.reshape(-1, 2), p[-2:-1]])


def _mirrored(points: Sequence) -> np.ndarray:
    """A closed outline from its right half, which is given from the top to the bottom."""
    right = np.asarray(points, float)
    return np.concatenate([right, right[::-1] * (-1, 1)])


class _Sketch:
    """Three layers of one picture: `colour` (RGB), `broad` and `fine` (L, 128 = unchanged): soft and sharp shading."""

    def __init__(self, person: Person, units: Mapping[str, float], shot: Shot, backdrop: Image.Image):
        self.p, self.shot, self.side = person, shot, backdrop.width
        self.au = lambda unit: units.get(f"AU{unit}", 0.0)
        yaw, pitch, roll = np.radians((shot.yaw, shot.pitch, shot.roll))
        turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        self.turn, self.squeeze = turn_z @ turn_x @ turn_y, np.cos(yaw)
        self.unit = shot.zoom * self.side
        self.middle = self.side * np.array([0.5 + shot.dx, 0.455 + shot.dy])
        self.colour, self.mask = backdrop.copy(), Image.new("L", backdrop.size, 0)
        self.strands = Image.new("L", backdrop.size, 0)
        self.broad, self.fine = Image.new("L", backdrop.size, 128), Image.new("L", backdrop.size, 128)
        layers = ("colour", "mask", "strands", "broad", "fine")
        self.pens = {name: ImageDraw.Draw(getattr(self, name)) for name in layers}
        self.drop = 0.12 * self.au(26) + 0.16 * self.au(27)  # how far the jaw hangs
        self.lip_y = person.mouth_y - 0.02 * self.au(17)

    def on_face(self, points: Sequence, lift: float = 0.0) -> list:
        """Pixel positions of (N, 2) face points on the surface; `lift` raises them from it, as for a nose."""
        x, y = np.asarray(points, float).T
        z = 0.72 * np.sqrt(np.maximum(0.03, 1 - (x / self.p.width) ** 2 * 0.8 - (y / 1.25) ** 2)) + lift
        return self._pixels(x, y, z)

    def on_edge(self, points: Sequence, z: float = 0.0) -> list:
        """Pixel positions of points of the silhouette, which a turn of the head moves but does not narrow."""
        x, y = np.asarray(points, float).T
        return self._pixels(x / self.squeeze**0.8, y, z + 0.12 + 0.26 * np.clip(y, 0, 1))

    def _pixels(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list:
        xy = (self.turn @ np.stack([x, y, z]))[:2].T * self.unit + self.middle
        return list(map(tuple, xy.tolist()))

    def fill(self, points: list, colour: tuple, hair: bool = False) -> None:
        """A filled outline that belongs to the person (so light falls on it) and hides the shading under it."""
        self.pens["colour"].polygon(points, colour)
        self.pens["mask"].polygon(points, 255)
        self.pens["strands"].polygon(points, 255 if hair else 0)
        self.pens["broad"].polygon(points, 128)
        self.pens["fine"].polygon(points, 128)

    def crease(self, points: Sequence, depth: float, width: float = 0.022) -> None:
        """A fold of the skin along face points; `depth` 0..1 is how dark."""
        if depth > 0.04:
            line = self.on_face(_smooth(points))
            self.pens["fine"].line(line, int(128 - 78 * min(depth, 1)), max(1, round(width * self.unit)), "curve")

    def ball(self, x: float, y: float, radius: float, pen: str, value: int | tuple, lift: float = 0.0) -> None:
        """A disc around a face point on one layer."""
        (cx, cy), r = self.on_face([(x, y)], lift)[0], radius * self.unit
        self.pens[pen].ellipse((cx - r, cy - r, cx + r, cy + r), value)

    def skull(self, scale: float = 1.0) -> np.ndarray:
        """The outline of head and jaw, (N, 2), clockwise from the top; a hanging jaw lengthens it."""
        p, w = self.p, self.p.width * scale
        half = np.array([(0.02, -1), (0.5, -0.92), (0.87, -0.62), (1, -0.2), (0.97, 0.15), (0.9, 0.45),
                         (p.jaw, 0.7), (p.chin, 0.95), (0.03, 1.01)])  # fmt: skip
        half[:, 0] *= w
        half[:, 1] = half[:, 1] * scale + self.drop * np.clip((half[:, 1] - 0.2) / 0.6, 0, 1)
        return _smooth(_mirrored(half), closed=True)

    def body(self) -> None:
        """What lies behind the head: long hair, shoulders, neck and ears."""
        p, w = self.p, self.p.width
        long = {"long": 1.5, "bob": 0.72, "scarf": 1.3}.get(p.hair)
        if long:
            wide = 1.12 if p.hair == "scarf" else p.volume + 0.1
            half = np.array([(0.02, -1.12), (0.6, -1), (1, -0.5), (1.06, 0.3), (1, long), (0, long)]) * (wide * w, 1)
            colour = _mix(self.p.cloth, (0, 0, 0), 0.3) if p.hair == "scarf" else _mix(p.hair_colour, (0, 0, 0), 0.35)
            self.fill(self.on_edge(_smooth(_mirrored(half), closed=True), -0.3), colour, p.hair != "scarf")
        neck = [(0.5 * w, 0.4), (0.52 * w, 1.3), (0.6 * w, 1.7), (0, 1.8)]
        if p.hair == "scarf":
            self.fill(self.on_edge(_mirrored([(0.75 * w, 0.4), (0.85 * w, 1.4), (0, 1.9)]), -0.3), p.cloth)
        else:
            self.fill(self.on_edge(_mirrored(neck), -0.35), _mix(p.skin, (60, 20, 10), 0.22))
        shirt = [(0.3 * w, 1.55), (0.62 * w, 1.3), (1.7 * w, 1.6), (2.4, 3), (0, 3)]
        self.fill(self.on_edge(_mirrored(shirt), -0.35), p.cloth)
        for side in (-1, 1):
            ear = np.array([(0.93, -0.12), (1.08, -0.16), (1.12, 0.02), (1.05, 0.2), (0.93, 0.24)]) * (side * w, 1)
            self.fill(self.on_edge(_smooth(ear, closed=True), -0.12), _mix(p.skin, (140, 50, 40), 0.12))

    def head(self, rng: np.random.Generator) -> None:
        """Skin, its large lights and shadows, freckles, beard."""
        p, pens = self.p, self.pens
        self.fill(self.on_edge(self.skull()), p.skin)
        lift = 0.06 * max(self.au(6), 0.6 * self.au(12))
        for side in (-1, 1):
            pens["broad"].polygon(
                self.on_face(
                    _smooth(
                        [
                            (side * x, y)
                            for x, y in (
                                (0.1, -0.14),
                                (0.2, -0.26),
                                (0.45, -0.24),
                                (0.52, -0.08),
                                (0.35, 0.06),
                                (0.14, 0.02),
                            )
                        ],
                        True,
                    )
                ),
                104,
            )
            self.ball(side * 0.4, 0.2 - lift, 0.15 + lift, "broad", 136 + int(110 * lift))
        self.ball(0, -0.62, 0.25, "broad", 136)
        self.ball(0, 0.86 + self.drop, 0.1, "broad", 136)
        for _ in range(int(70 * p.freckles)):
            x, y = rng.normal(0, 0.28), rng.normal(0.15, 0.1)
            self.ball(x, y, 0.011, "colour", _mix(p.skin, (120, 60, 30), 0.45))
        dark = _mix(p.hair_colour, (20, 14, 12), 0.25)
        d, w, y0 = self.drop, p.width, self.lip_y
        if p.beard in ("full", "stubble"):
            cheek = np.array([(0.02, p.nose_y + 0.11), (0.24, p.nose_y + 0.15)])
            cheek = np.concatenate([cheek, np.array([(0.55, 0.5), (0.8, 0.36), (0.88, 0.1)]) * (w, 1)])
            jaw = self.skull()[: 8 * 6]
            jaw = jaw[jaw[:, 1] > 0.1]
            shape = [*self.on_face(_smooth(cheek)), *self.on_edge(jaw), *self.on_edge(jaw[::-1] * (-1, 1)),
                     *self.on_face(_smooth(cheek)[::-1] * (-1, 1))]  # fmt: skip
            if p.beard == "full":
                soft = Image.new("L", self.colour.size, 0)
                ImageDraw.Draw(soft).polygon(shape, 245)
                self.colour.paste(dark, (0, 0), soft.filter(ImageFilter.GaussianBlur(0.016 * self.unit)))
                pens["strands"].polygon(shape, 200)
            else:
                pens["broad"].polygon(shape, 100)
        if p.beard == "goatee":
            chin = [(0.02, y0 + 0.17 + d), (0.15, y0 + 0.2 + d), (0.2, 0.9 + d), (0.02, 1.02 + d)]
            pens["colour"].polygon(self.on_face(_smooth(_mirrored(chin), True)), dark)
        if p.beard in ("moustache", "goatee"):
            wide, top, low = self.mouth_width() + 0.05, p.nose_y + 0.1 - 0.03 * self.au(10), y0 - 0.03
            end = (wide, self.corner_y() + 0.02)
            lip = [(0.02, top), (0.6 * wide, top + 0.05), end, (0.5 * wide, low), (0.02, low)]
            pens["colour"].polygon(self.on_face(_smooth(_mirrored(lip), True)), dark)

    def wrinkles(self) -> None:
        """Folds of the skin: those of age and those that the action units make."""
        p, au = self.p, self.au
        old = 0.5 * max(0, p.age - 0.35)
        raised, inner, lowered = min(au(1), au(2)), au(1) * au(4), au(4) * (1 - 0.7 * au(1))
        for k in range(3):
            y = -0.5 - 0.09 * k - 0.03 * au(1)
            self.crease([(-0.4, y + 0.03), (-0.2, y), (0, y + 0.01), (0.2, y), (0.4, y + 0.03)], old + 0.6 * raised)
            if k < 2:
                self.crease([(-0.16, y + 0.03), (0, y - 0.02), (0.16, y + 0.03)], 0.6 * inner)
        for side in (-1, 1):
            self.crease([(side * 0.045, -0.4), (side * 0.05, -0.3), (side * 0.035, -0.2)], 0.95 * lowered + 0.4 * inner)
            for k in range(3):  # crow's feet
                start, end = (p.gap + 0.2, -0.08 + 0.04 * k), (p.gap + 0.31, -0.14 + 0.08 * k)
                self.crease([(side * x, y) for x, y in (start, end)], old + 0.8 * au(6))
            bag = 0.06 - 0.03 * max(au(6), au(7))
            eye_y = -0.04
            self.crease([(side * (p.gap + x), eye_y + bag + y) for x, y in ((-0.15, 0.02), (0, 0.07), (0.15, 0.03))],
                        0.12 + old + 0.5 * max(au(6), au(7), au(9)))  # fmt: skip
            deep = 0.1 + old + 0.75 * max(au(12), au(10), au(9)) + 0.3 * au(20) + 0.3 * au(15)
            end, corner = self.mouth_width() + 0.08, self.corner_y()
            top = p.nose_y - 0.02 - 0.06 * max(au(9), au(10))
            bend = (0.5 * (p.nose + end) + 0.05, 0.55 * top + 0.45 * corner)
            fold = ((p.nose + 0.03, top), bend, (end + 0.01, corner + 0.08))
            self.crease([(side * x, y) for x, y in fold], deep, 0.026)
            for k in range(3):  # a wrinkled nose
                y = -0.08 + 0.07 * k
                self.crease([(side * 0.02, y + 0.02), (side * 0.1, y - 0.03 + 0.01 * k)], au(9), 0.02)
            below = ((0.05, 0.2), (0.14, 0.27), (0.17, 0.36))
            self.crease([(side * x, self.lip_y + y + self.drop) for x, y in below], 0.7 * au(17))
        for x, y in ((0, 0.24), (-0.06, 0.28), (0.06, 0.28), (0, 0.32)):  # a bulging chin is dimpled
            self.crease([(x - 0.02, self.lip_y + y), (x + 0.02, self.lip_y + y + 0.01)], 0.55 * au(17))

    def nose(self) -> None:
        """Ridge, wings and nostrils; the side away from the light is dark."""
        p, au, pens = self.p, self.au, self.pens
        up = 0.05 * au(9) + 0.015 * au(10)
        wide, y = p.nose * (1 + 0.15 * au(9)), p.nose_y - up
        away = -1 if self.shot.azimuth > 0 else 1
        strength = 12 + 26 * abs(np.sin(np.radians(self.shot.azimuth)))
        slope = [(0.05, -0.12), (0.07, 0.1), (0.95 * wide, y), (0.4 * wide, y + 0.05), (0.03, y - 0.05)]
        ridge = _mirrored([(0.03, -0.1), (0.04, y - 0.04)])
        below = _mirrored([(wide, y + 0.06), (0.6 * wide, y + 0.13)])
        pens["broad"].polygon(self.on_face([(away * a, b) for a, b in slope], 0.05), int(128 - strength))
        pens["broad"].polygon(self.on_face(ridge, 0.12), 142)
        pens["broad"].polygon(self.on_face(below), 112)
        for s in (-1, 1):
            wing = [(0.75 * wide, y - 0.1), (wide, y - 0.04), (wide, y + 0.03), (0.7 * wide, y + 0.055)]
            self.crease([(s * a, b) for a, b in wing], 0.55 + 0.3 * au(9))
            hole = [(0.25 * wide, y + 0.035), (0.5 * wide, y + 0.01), (0.72 * wide, y + 0.035), (0.5 * wide, y + 0.055)]
            pens["colour"].polygon(self.on_face([(s * a, b) for a, b in hole], 0.08), _mix(p.skin, (40, 10, 8), 0.72))
        self.crease([(-0.3 * wide, y + 0.06), (0, y + 0.075), (0.3 * wide, y + 0.06)], 0.45)

    def mouth_width(self) -> float:
        """From the middle to a corner."""
        au = self.au
        wide = 0.36 * au(12) + 0.34 * au(20)
        narrow = 0.16 * max(au(23), au(24)) + 0.2 * au(27) + 0.08 * au(26) * (1 - au(12)) + 0.05 * au(17)
        return self.p.mouth * (1 + wide - narrow)

    def corner_y(self) -> float:
        """Where the corners of the mouth are."""
        au = self.au
        return self.lip_y - 0.17 * au(12) + 0.14 * au(15) + 0.04 * au(20) + 0.35 * self.drop

    def mouth(self) -> None:
        """Lips, and between them teeth and tongue. Lip lines are y(t) over t in -1..1 from corner to corner."""
        p, au, pens = self.p, self.au, self.pens
        t = np.linspace(-1, 1, 25)
        x, corner = t * self.mouth_width(), self.corner_y()
        press = 1 - 0.65 * max(au(23), au(24)) - 0.25 * au(12) - 0.2 * au(20)
        part = 0.05 * au(25)
        shape = 2 + 2.5 * max(au(20), au(10))  # stretched or raised lips are squarer
        arch = 1 - np.abs(t) ** shape
        top = self.lip_y - 0.5 * part - 0.075 * au(10) - 0.03 * au(9) - 0.01 * au(12) + 0.012 * au(15)
        low = self.lip_y + part + 1.6 * self.drop + 0.06 * au(16) + 0.05 * au(12) * au(25) - 0.035 * au(17)
        low = max(low, top)
        inner_up = corner + (top - corner) * arch
        inner_low = corner + (low - corner) * (1 - np.abs(t) ** max(2, shape - 0.5))
        bow = p.lip * press * (1 - np.abs(t) ** 2.2) * (1 - 0.28 * np.exp(-((t / 0.16) ** 2)))
        full = 1.25 * p.lip * press * (1 - np.abs(t) ** 2.4) + 0.02 * au(17) * (1 - t**2)
        upper, lower = inner_up - bow, inner_low + full
        lips = _mix(p.skin, (150, 40, 50), 0.42)

        def band(above: np.ndarray, below: np.ndarray) -> list:
            return self.on_face(np.concatenate([np.stack([x, above], 1), np.stack([x, below], 1)[::-1]]), 0.04)

        pens["broad"].polygon(band(lower + 0.005, lower + 0.07 * (1 - t**2)), 104)
        pens["colour"].polygon(band(upper, inner_up), _mix(lips, (60, 10, 20), 0.16))
        pens["colour"].polygon(band(inner_low, lower), lips)
        for name in ("strands", "fine"):
            pens[name].polygon(band(upper, lower), 0 if name == "strands" else 128)
        pens["fine"].polygon(band(inner_low + 0.3 * full, inner_low + 0.6 * full), 140)
        gap = inner_low - inner_up
        if gap.max() > 0.02:
            pens["colour"].polygon(band(inner_up, inner_low), (52, 14, 18))
            tongue = np.minimum(gap * 0.5, 0.12) * (gap.max() > 0.12)
            pens["colour"].polygon(band(inner_low - tongue, inner_low), (156, 70, 74))
            show = max(au(12), au(10), 0.8 * au(20), 0.45 * au(26))
            teeth = np.minimum(gap * 0.8, 0.1 * show + 0.02)
            pens["colour"].polygon(band(inner_up, inner_up + teeth), (236, 232, 222))
            bottom = np.minimum(gap * 0.35, 0.07) * max(au(20), au(16))
            pens["colour"].polygon(band(inner_low - bottom, inner_low), (226, 220, 208))
        line = self.on_face(np.stack([x, (inner_up if gap.max() > 0.02 else 0.5 * (inner_up + inner_low))], 1), 0.04)
        pens["colour"].line(line, _mix(p.skin, (60, 12, 18), 0.8), max(1, round(0.016 * self.unit)), "curve")
        for s in (-1, 1):
            w, pull = self.mouth_width(), 0.05 * au(15) - 0.04 * au(12)
            self.crease([(s * w, corner), (s * (w + 0.035), corner + pull)], 0.5 + 0.4 * max(au(15), au(12)), 0.028)

    def eye(self, side: int) -> None:
        """Eyeball seen between the lids, lashes, and the fold of the upper lid."""
        p, au, pens = self.p, self.au, self.pens
        t = np.linspace(-1, 1, 17)  # -1 = inner corner
        x = side * (p.gap + t * 0.185 * p.eye)
        y = -0.05 - 0.012 * t
        up = p.eye * 0.1 * (1 + 0.6 * au(5) - 0.45 * au(7) - 0.3 * au(6) - 0.35 * au(9) - 0.85 * au(43))
        low = p.eye * 0.062 * (1 + 0.2 * au(5) - 0.65 * au(7) - 0.75 * au(6) - 0.5 * au(9))
        slant = 1 - 0.3 * au(1) * au(4) * (1 - au(5)) * t + 0.25 * au(4) * (1 - au(1)) * t  # sad lids fall outwards
        upper, lower = y - max(up, 0.012) * slant * (1 - np.abs(t) ** 2.3), y + max(low, 0.008) * (1 - np.abs(t) ** 2.3)
        outline = self.on_face(np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]]))
        mask = Image.new("L", self.colour.size, 0)
        ImageDraw.Draw(mask).polygon(outline, 255)
        ball = Image.new("RGB", self.colour.size, (232, 228, 222))
        pen, r = ImageDraw.Draw(ball), 0.092 * p.eye * self.unit
        cx, cy = self.on_face([(side * p.gap + 0.05 * self.shot.gaze[0], -0.065 + 0.03 * self.shot.gaze[1])])[0]
        for radius, colour in ((r, _mix(p.iris, (0, 0, 0), 0.45)), (0.86 * r, p.iris), (0.45 * r, (12, 10, 10))):
            pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), colour)
        gx, gy = cx + 0.35 * r * np.sign(self.shot.azimuth), cy - 0.4 * r
        pen.ellipse((gx - 0.2 * r, gy - 0.2 * r, gx + 0.2 * r, gy + 0.2 * r), (250, 250, 250))
        self.colour.paste(ball, (0, 0), mask)
        pens["broad"].polygon(outline, 126)
        lash = _mix(p.skin, (24, 14, 12), 0.85)
        for lid, colour, width in ((upper, lash, 0.026), (lower, _mix(p.skin, lash, 0.45), 0.01)):
            line = self.on_face(np.stack([x, lid], 1))
            pens["colour"].line(line, colour, max(1, round(width * self.unit)), "curve")
        fold = 0.035 * (1 - 0.6 * au(5)) + 0.015
        self.crease(np.stack([x, upper - fold], 1)[2:-1:3], 0.5 + 0.2 * p.age)

    def brow(self, side: int) -> None:
        """A tapering brow through five points from the inner to the outer end."""
        p, au = self.p, self.au
        lowered = au(4) * (1 - 0.75 * au(1)) + 0.5 * au(9)
        at = np.array([-0.22, -0.12, 0.0, 0.13, 0.24])
        rise = au(1) * np.array([0.19, 0.13, 0.05, 0, 0]) + au(2) * np.array([0.03, 0.09, 0.15, 0.16, 0.11])
        fall = lowered * np.array([0.18, 0.14, 0.07, -0.01, -0.04]) + 0.03 * au(6)
        y = p.brow_y + np.array([0.03, 0.0, -0.025, -0.01, 0.05]) - rise + fall
        y += 0.03 * au(1) * au(4) * np.array([0, 0, 0.4, 1, 1.4])
        x = side * (p.gap + at * 1.05 - 0.035 * au(4) * np.array([1, 0.7, 0.4, 0.1, 0]))
        thick = p.brow * np.array([0.8, 1, 0.95, 0.7, 0.25]) * (1 + 0.15 * au(4))
        top, bottom = _smooth(np.stack([x, y - thick / 2], 1)), _smooth(np.stack([x, y + thick / 2], 1))
        points = self.on_face(np.concatenate([top, bottom[::-1]]), 0.02)
        colour = _mix(p.skin, _mix(p.hair_colour, (20, 14, 12), 0.45), 0.88)
        self.pens["colour"].polygon(points, colour)
        self.pens["fine"].polygon(points, 124)

    def hair(self, rng: np.random.Generator) -> None:
        """Hair, cap or scarf over the forehead: what lies between the skull, grown by its volume, and the hairline."""
        p, w = self.p, self.p.width
        if p.hair == "bald":
            return
        cloth, line = p.hair in ("scarf", "cap"), p.hairline
        tops = {"fringe": [(0.6, -0.45), (0.25, -0.47)], "scarf": [(0.55, -0.66), (0.25, -0.7)],
                "cap": [(0.7, -0.6), (0.3, -0.56)]}  # fmt: skip
        falls = {"scarf": [(0.9, 0.6), (0.86, 0.2), (0.84, -0.3)], "long": [(0.97, 0.4), (0.9, 0.0), (0.86, -0.35)],
                 "bob": [(0.97, 0.5), (0.88, 0.1), (0.84, -0.35)], "cap": [(1.0, -0.42)]}  # fmt: skip
        right = tops.get(p.hair, [(0.66, line + 0.14), (0.3, line)])
        sides = falls.get(p.hair, [(0.99, -0.1), (0.9, -0.38)])
        half = np.array(sides + right)
        left = half[::-1] * (-1, 1)
        if p.hair in ("parted", "long", "bob"):
            middle = np.array([(p.part * 0.7, line - 0.08)])
            half[-1, 0], left[0, 0] = max(0.3, p.part * 0.7 + 0.15), min(-0.3, p.part * 0.7 - 0.15)
        else:
            middle = np.array([(0.0, right[-1][1])])
        hairline = _smooth(np.concatenate([half, middle, left]) * (w, 1))
        outer = self.skull(1.1 if cloth else p.volume)
        if p.hair in ("short", "parted"):
            outer[:, 0] *= 1.02 / p.volume  # cut close at the sides
            rise = 0.7 * (p.volume - 1) * (1 + p.part * outer[:, 0]) - 0.03
            outer[:, 1] -= np.where(outer[:, 1] < -0.5, rise, 0)
        outer = outer[outer[:, 1] < sides[0][1]]
        split = np.argmax(np.hypot(*np.diff(outer, axis=0).T)) + 1
        outer = np.concatenate([outer[split:], outer[:split]])  # from the left side over the top to the right
        colour = p.cloth if cloth else p.hair_colour
        hairline[1:-1, 1] += rng.normal(0, 0.016, len(hairline) - 2) * (not cloth)
        self.fill(self.on_edge(outer) + self.on_face(hairline, -0.05), colour, hair=not cloth)
        sheen = _smooth(np.array([(-0.6, -0.72), (0, -0.92), (0.6, -0.72), (0, -0.8)]) * (w, 1), closed=True)
        self.pens["broad"].polygon(self.on_edge(sheen), 158)
        if p.hair == "curly":
            for x, y in outer[::2] * 1.02:
                (cx, cy), r = self.on_edge([(x, y)])[0], rng.uniform(0.09, 0.15) * self.unit
                ring = [(cx + r * np.cos(a), cy + r * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 14)]
                self.fill(ring, _mix(colour, (0, 0, 0), rng.uniform(0, 0.2)), True)
        if p.hair == "cap":
            seam = _smooth(np.array([(1, -0.55), (0.3, -0.68), (-0.3, -0.68), (-1, -0.55)]) * (w, 1))
            self.pens["fine"].line(self.on_face(seam), 90, 3)

    def spectacles(self) -> None:
        """Frames around both eyes, the bridge and the arms."""
        p, pens = self.p, self.pens
        if p.glasses == "none":
            return
        power = 2 if p.glasses == "round" else 5
        a = np.linspace(0, 2 * np.pi, 33)
        frame, width = _mix(p.cloth, (20, 20, 24), 0.75), max(1, round(0.026 * self.unit))
        for side in (-1, 1):
            c, s = np.cos(a), np.sin(a)
            x = side * (p.gap + 0.01) + 0.255 * np.sign(c) * np.abs(c) ** (2 / power)
            y = -0.03 + (0.235 if power == 2 else 0.19) * np.sign(s) * np.abs(s) ** (2 / power)
            ring = self.on_face(np.stack([x, y], 1), 0.06)
            pens["colour"].line(ring, frame, width, "curve")
            pens["broad"].polygon(ring, 130)
            arm = self.on_face([(side * (p.gap + 0.265), -0.06)], 0.06) + self.on_edge([(side * p.width, -0.1)])
            pens["colour"].line(arm, frame, width)
        inner = p.gap - 0.245
        pens["colour"].line(self.on_face(_smooth([(-inner, -0.05), (0, -0.085), (inner, -0.05)]), 0.1), frame, width)

    def lit(self, rng: np.random.Generator) -> Image.Image:
        """The layers joined: colour x Lambert's shade of the ellipsoid x soft and sharp shading x texture."""
        side, shot = self.side, self.shot
        az, el = np.radians((shot.azimuth, shot.elevation))
        light = np.array([np.sin(az) * np.cos(el), -np.sin(el), np.cos(az) * np.cos(el)])
        cx, cy = np.array(self.on_edge([(0, 0)])[0])
        grid = np.arange(side, dtype=np.float32) + 0.5
        u = ((grid - cx) / (1.15 * self.p.width * self.unit))[None, :].clip(-1, 1) * np.ones((side, 1), np.float32)
        v = ((grid - cy) / (1.35 * self.unit))[:, None].clip(-1, 1)
        n = np.sqrt(np.maximum(0.02, 1 - u**2 - v**2))
        lambert = np.clip(u * light[0] + v * light[1] + n * light[2], 0, None)
        shade = (shot.ambient + (1.1 - shot.ambient) * lambert).astype(np.float32)
        small = self.broad.reduce(4).filter(ImageFilter.GaussianBlur(0.035 * self.unit / 4))  # as soft, and quicker
        broad = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 128
        fine = np.asarray(self.fine.filter(ImageFilter.BoxBlur(0.013 * self.unit)), np.float32) / 128
        noise = Image.fromarray(rng.standard_normal((side // 12, side), np.float32))
        streaks = np.asarray(noise.resize((side, side), Image.Resampling.BILINEAR))
        factor = shade * broad**1.2 * fine * (1 + streaks * (np.asarray(self.strands, np.float32) * (0.2 / 255)))
        factor = np.where(np.asarray(self.mask) > 0, factor, np.float32(1))
        pixels = np.asarray(self.colour) * factor[..., None].astype(np.float32)
        return Image.fromarray(np.minimum(pixels, 255, out=pixels).astype(np.uint8))

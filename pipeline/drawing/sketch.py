"""The drawing of a face: skin, features and hair, each where the person has it and the action units move it."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.drawing.canvas import Canvas, mirrored, smooth
from pipeline.drawing.faces import Person, Shot, mix


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


class _Sketch(Canvas):
    """A canvas that a face is being drawn on; the methods below are called from back to front."""

    def __init__(self, person: Person, units: Mapping[str, float], shot: Shot, backdrop: Image.Image):
        super().__init__(person.width, shot, backdrop)
        self.p = person
        self.au = lambda unit: units.get(f"AU{unit}", 0.0)
        self.drop = 0.12 * self.au(26) + 0.16 * self.au(27)  # how far the jaw hangs
        self.lip_y = person.mouth_y - 0.02 * self.au(17)

    def skull(self, scale: float = 1.0) -> np.ndarray:
        """The outline of head and jaw, (N, 2), clockwise from the top; a hanging jaw lengthens it."""
        p, w = self.p, self.p.width * scale
        half = np.array([(0.02, -1), (0.5, -0.92), (0.87, -0.62), (1, -0.2), (0.97, 0.15), (0.9, 0.45),
                         (p.jaw, 0.7), (p.chin, 0.95), (0.03, 1.01)])  # fmt: skip
        half[:, 0] *= w
        half[:, 1] = half[:, 1] * scale + self.drop * np.clip((half[:, 1] - 0.2) / 0.6, 0, 1)
        return smooth(mirrored(half), closed=True)

    def body(self) -> None:
        """What lies behind the head: long hair, shoulders, neck and ears."""
        p, w = self.p, self.p.width
        long = {"long": 1.5, "bob": 0.72, "scarf": 1.3}.get(p.hair)
        if long:
            wide = 1.12 if p.hair == "scarf" else p.volume + 0.1
            half = np.array([(0.02, -1.12), (0.6, -1), (1, -0.5), (1.06, 0.3), (1, long), (0, long)]) * (wide * w, 1)
            colour = mix(self.p.cloth, (0, 0, 0), 0.3) if p.hair == "scarf" else mix(p.hair_colour, (0, 0, 0), 0.35)
            self.fill(self.on_edge(smooth(mirrored(half), closed=True), -0.3), colour, p.hair != "scarf")
        neck = [(0.5 * w, 0.4), (0.52 * w, 1.3), (0.6 * w, 1.7), (0, 1.8)]
        if p.hair == "scarf":
            self.fill(self.on_edge(mirrored([(0.75 * w, 0.4), (0.85 * w, 1.4), (0, 1.9)]), -0.3), p.cloth)
        else:
            self.fill(self.on_edge(mirrored(neck), -0.35), mix(p.skin, (60, 20, 10), 0.22))
        shirt = [(0.3 * w, 1.55), (0.62 * w, 1.3), (1.7 * w, 1.6), (2.4, 3), (0, 3)]
        self.fill(self.on_edge(mirrored(shirt), -0.35), p.cloth)
        for side in (-1, 1):
            ear = np.array([(0.93, -0.12), (1.08, -0.16), (1.12, 0.02), (1.05, 0.2), (0.93, 0.24)]) * (side * w, 1)
            self.fill(self.on_edge(smooth(ear, closed=True), -0.12), mix(p.skin, (140, 50, 40), 0.12))

    def head(self, rng: np.random.Generator) -> None:
        """Skin, its large lights and shadows, freckles, beard."""
        p, pens = self.p, self.pens
        self.fill(self.on_edge(self.skull()), p.skin)
        lift = 0.06 * max(self.au(6), 0.6 * self.au(12))
        socket = [(0.1, -0.14), (0.2, -0.26), (0.45, -0.24), (0.52, -0.08), (0.35, 0.06), (0.14, 0.02)]
        for side in (-1, 1):
            pens["broad"].polygon(self.on_face(smooth([(side * x, y) for x, y in socket], True)), 104)
            self.ball(side * 0.4, 0.2 - lift, 0.15 + lift, "broad", 136 + int(110 * lift))
        self.ball(0, -0.62, 0.25, "broad", 136)
        self.ball(0, 0.86 + self.drop, 0.1, "broad", 136)
        for _ in range(int(70 * p.freckles)):
            x, y = rng.normal(0, 0.28), rng.normal(0.15, 0.1)
            self.ball(x, y, 0.011, "colour", mix(p.skin, (120, 60, 30), 0.45))
        dark = mix(p.hair_colour, (20, 14, 12), 0.25)
        d, w, y0 = self.drop, p.width, self.lip_y
        if p.beard in ("full", "stubble"):
            cheek = np.array([(0.02, p.nose_y + 0.11), (0.24, p.nose_y + 0.15)])
            cheek = np.concatenate([cheek, np.array([(0.55, 0.5), (0.8, 0.36), (0.88, 0.1)]) * (w, 1)])
            jaw = self.skull()[: 8 * 6]
            jaw = jaw[jaw[:, 1] > 0.1]
            shape = [*self.on_face(smooth(cheek)), *self.on_edge(jaw), *self.on_edge(jaw[::-1] * (-1, 1)),
                     *self.on_face(smooth(cheek)[::-1] * (-1, 1))]  # fmt: skip
            if p.beard == "full":
                soft = Image.new("L", self.colour.size, 0)
                ImageDraw.Draw(soft).polygon(shape, 245)
                self.colour.paste(dark, (0, 0), soft.filter(ImageFilter.GaussianBlur(0.016 * self.unit)))
                pens["strands"].polygon(shape, 200)
            else:
                pens["broad"].polygon(shape, 100)
        if p.beard == "goatee":
            chin = [(0.02, y0 + 0.17 + d), (0.15, y0 + 0.2 + d), (0.2, 0.9 + d), (0.02, 1.02 + d)]
            pens["colour"].polygon(self.on_face(smooth(mirrored(chin), True)), dark)
        if p.beard in ("moustache", "goatee"):
            wide, top, low = self.mouth_width() + 0.05, p.nose_y + 0.1 - 0.03 * self.au(10), y0 - 0.03
            end = (wide, self.corner_y() + 0.02)
            lip = [(0.02, top), (0.6 * wide, top + 0.05), end, (0.5 * wide, low), (0.02, low)]
            pens["colour"].polygon(self.on_face(smooth(mirrored(lip), True)), dark)

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
        ridge = mirrored([(0.03, -0.1), (0.04, y - 0.04)])
        below = mirrored([(wide, y + 0.06), (0.6 * wide, y + 0.13)])
        pens["broad"].polygon(self.on_face([(away * a, b) for a, b in slope], 0.05), int(128 - strength))
        pens["broad"].polygon(self.on_face(ridge, 0.12), 142)
        pens["broad"].polygon(self.on_face(below), 112)
        for s in (-1, 1):
            wing = [(0.75 * wide, y - 0.1), (wide, y - 0.04), (wide, y + 0.03), (0.7 * wide, y + 0.055)]
            self.crease([(s * a, b) for a, b in wing], 0.55 + 0.3 * au(9))
            hole = [(0.25 * wide, y + 0.035), (0.5 * wide, y + 0.01), (0.72 * wide, y + 0.035), (0.5 * wide, y + 0.055)]
            pens["colour"].polygon(self.on_face([(s * a, b) for a, b in hole], 0.08), mix(p.skin, (40, 10, 8), 0.72))
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
        lips = mix(p.skin, (150, 40, 50), 0.42)

        def band(above: np.ndarray, below: np.ndarray) -> list:
            return self.on_face(np.concatenate([np.stack([x, above], 1), np.stack([x, below], 1)[::-1]]), 0.04)

        pens["broad"].polygon(band(lower + 0.005, lower + 0.07 * (1 - t**2)), 104)
        pens["colour"].polygon(band(upper, inner_up), mix(lips, (60, 10, 20), 0.16))
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
        pens["colour"].line(line, mix(p.skin, (60, 12, 18), 0.8), max(1, round(0.016 * self.unit)), "curve")
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
        for radius, colour in ((r, mix(p.iris, (0, 0, 0), 0.45)), (0.86 * r, p.iris), (0.45 * r, (12, 10, 10))):
            pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), colour)
        gx, gy = cx + 0.35 * r * np.sign(self.shot.azimuth), cy - 0.4 * r
        pen.ellipse((gx - 0.2 * r, gy - 0.2 * r, gx + 0.2 * r, gy + 0.2 * r), (250, 250, 250))
        self.colour.paste(ball, (0, 0), mask)
        pens["broad"].polygon(outline, 126)
        lash = mix(p.skin, (24, 14, 12), 0.85)
        for lid, colour, width in ((upper, lash, 0.026), (lower, mix(p.skin, lash, 0.45), 0.01)):
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
        top, bottom = smooth(np.stack([x, y - thick / 2], 1)), smooth(np.stack([x, y + thick / 2], 1))
        points = self.on_face(np.concatenate([top, bottom[::-1]]), 0.02)
        colour = mix(p.skin, mix(p.hair_colour, (20, 14, 12), 0.45), 0.88)
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
        hairline = smooth(np.concatenate([half, middle, left]) * (w, 1))
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
        sheen = smooth(np.array([(-0.6, -0.72), (0, -0.92), (0.6, -0.72), (0, -0.8)]) * (w, 1), closed=True)
        self.pens["broad"].polygon(self.on_edge(sheen), 158)
        if p.hair == "curly":
            for x, y in outer[::2] * 1.02:
                (cx, cy), r = self.on_edge([(x, y)])[0], rng.uniform(0.09, 0.15) * self.unit
                ring = [(cx + r * np.cos(a), cy + r * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 14)]
                self.fill(ring, mix(colour, (0, 0, 0), rng.uniform(0, 0.2)), True)
        if p.hair == "cap":
            seam = smooth(np.array([(1, -0.55), (0.3, -0.68), (-0.3, -0.68), (-1, -0.55)]) * (w, 1))
            self.pens["fine"].line(self.on_face(seam), 90, 3)

    def spectacles(self) -> None:
        """Frames around both eyes, the bridge and the arms."""
        p, pens = self.p, self.pens
        if p.glasses == "none":
            return
        power = 2 if p.glasses == "round" else 5
        a = np.linspace(0, 2 * np.pi, 33)
        frame, width = mix(p.cloth, (20, 20, 24), 0.75), max(1, round(0.026 * self.unit))
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
        pens["colour"].line(self.on_face(smooth([(-inner, -0.05), (0, -0.085), (inner, -0.05)]), 0.1), frame, width)

"""What a face is drawn on: layers of paint and of shading, the projection onto them, and the light.

Face coordinates: x to the viewer's right, y down, origin in the middle of the head, 1.0 = half the height of the head.
Points lie on an ellipsoid, which is turned by the pose and projected in parallel; shade is Lambert's on that ellipsoid.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.drawing.faces import Shot


class Canvas:
    """Layers of one picture of a head `width` wide (half of it, in face coordinates), as large as `backdrop`.

    `colour` (RGB); `mask` and `strands` (L): what is person and what of it is hair; `broad` and `fine` (L, 128 =
    unchanged): soft and sharp shading. `pens` draws on each by its name.
    """

    def __init__(self, width: float, shot: Shot, backdrop: Image.Image):
        self.width, self.shot, self.side = width, shot, backdrop.width
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

    def on_face(self, points: Sequence, lift: float = 0.0) -> list:
        """Pixel positions of (N, 2) face points on the surface; `lift` raises them from it, as for a nose."""
        x, y = np.asarray(points, float).T
        z = 0.72 * np.sqrt(np.maximum(0.03, 1 - (x / self.width) ** 2 * 0.8 - (y / 1.25) ** 2)) + lift
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
            line = self.on_face(smooth(points))
            self.pens["fine"].line(line, int(128 - 78 * min(depth, 1)), max(1, round(width * self.unit)), "curve")

    def ball(self, x: float, y: float, radius: float, pen: str, value: int | tuple, lift: float = 0.0) -> None:
        """A disc around a face point on one layer."""
        (cx, cy), r = self.on_face([(x, y)], lift)[0], radius * self.unit
        self.pens[pen].ellipse((cx - r, cy - r, cx + r, cy + r), value)

    def lit(self, rng: np.random.Generator) -> Image.Image:
        """The layers joined: colour x Lambert's shade of the ellipsoid x soft and sharp shading x texture."""
        side, shot = self.side, self.shot
        az, el = np.radians((shot.azimuth, shot.elevation))
        light = np.array([np.sin(az) * np.cos(el), -np.sin(el), np.cos(az) * np.cos(el)])
        cx, cy = np.array(self.on_edge([(0, 0)])[0])
        grid = np.arange(side, dtype=np.float32) + 0.5
        u = ((grid - cx) / (1.15 * self.width * self.unit))[None, :].clip(-1, 1) * np.ones((side, 1), np.float32)
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


def smooth(points: Sequence, closed: bool = False, per: int = 6) -> np.ndarray:
    """Catmull-Rom spline through (N, 2) `points`, `per` new points for each span."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.arange(per)[:, None] / per
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    spans = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return spans.reshape(-1, 2) if closed else np.concatenate([spans.reshape(-1, 2), p[-2:-1]])


def mirrored(points: Sequence) -> np.ndarray:
    """A closed outline from its right half, which is given from the top to the bottom."""
    right = np.asarray(points, float)
    return np.concatenate([right, right[::-1] * (-1, 1)])

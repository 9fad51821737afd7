"""Where the faces of a picture are: BlazeFace (Bazarevsky et al. 2019), two small nets that LiteRT runs on a CPU.

The short-range net looks at the whole picture and finds large faces, the full-range net also at tiles of it and finds
small ones. Both come from MediaPipe (detector/README.md) and take a square of RGB in -1..1; for each anchor they give
16 regressors (centre, width, height and six keypoints, in pixels of their input, relative to the anchor) and a score.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

FOLDER = Path(__file__).parent / "detector"
# Anchors: (cells a side, anchors in each cell), one after the other as the net's outputs are.
SHORT = ("face_detection_short_range.tflite", 128, ((16, 2), (8, 6)))
FULL = ("face_detection_full_range.tflite", 192, ((48, 1),))


@dataclass(frozen=True)
class Face:
    """A found face: x and y of its left upper corner, width and height in pixels of the picture, score 0..1."""

    x: int
    y: int
    width: int
    height: int
    score: float


class Detector:
    """Finds faces as `settings` (conf/faces.yaml) say. Not for use by several threads at once."""

    def __init__(self, settings: Mapping):
        self.settings = settings
        self.short, self.full = _Net(*SHORT), _Net(*FULL)

    def find(self, rgb: np.ndarray) -> list[Face]:
        """The faces of uint8 [height, width, 3], the largest first.

        In a small picture where nothing was seen, a face that fills much of it counts if it is seen once there is a
        border around it: a crop of a face that leaves nothing around it.
        """
        settings, (height, width) = self.settings, rgb.shape[:2]
        scale = min(1.0, settings["short_side"] / min(height, width))
        small = _reduced(rgb, scale)
        crop = settings["crop"]
        may_be_a_crop = max(height, width) <= min(crop["long_side"], crop["aspect"] * min(height, width))
        found = self._look(small, settings["threshold"], crop["fills"] if may_be_a_crop else 1)
        if may_be_a_crop and not len(found) and len(self.short.find(small, crop["hint"])):
            found = self._look_with_border(small, crop)
        found[:, :4] /= scale
        return sorted((_within(row, width, height) for row in found), key=lambda face: -face.width * face.height)

    def _look(self, rgb: np.ndarray, threshold: float, fills: float = 1) -> np.ndarray:
        """Rows of x, y, width, height, score: what the nets find in the picture and in its tiles, each face once.

        Where the net for large faces sees one alone that takes more than the share `fills` of the picture, no small
        ones are looked for: that would take three times as long, and in a crop there are none.
        """
        finds = [self.short.find(rgb, threshold)]
        large = self._each_once(finds)
        if len(large) == 1 and large[0, 2] * large[0, 3] > fills * rgb.shape[0] * rgb.shape[1]:
            return large
        finds += [self.full.find(rgb, threshold)]
        finds += [self._in_part(self.full, rgb, part, threshold) for part in tiles(*rgb.shape[:2], self.settings)]
        finds += [self._in_part(self.short, rgb, part, threshold) for part in pieces(*rgb.shape[:2], self.settings)]
        return self._each_once(finds)

    def _each_once(self, finds: list[np.ndarray]) -> np.ndarray:
        rows = np.concatenate(finds)
        return rows[list(cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 4].tolist(), 0, self.settings["overlap"]))]

    def _in_part(self, net: "_Net", rgb: np.ndarray, part: tuple[int, int, int, int], threshold: float) -> np.ndarray:
        """Finds of a part without those that its inner edges cut: the next part or the whole picture has them whole."""
        x, y, width, height = part
        rows = net.find(rgb[y : y + height, x : x + width], threshold)
        left, top, right, bottom = rows[:, 0], rows[:, 1], rows[:, 0] + rows[:, 2], rows[:, 1] + rows[:, 3]
        cut = ((left < 2) & (x > 0)) | ((right > width - 2) & (x + width < rgb.shape[1]))
        cut |= ((top < 2) & (y > 0)) | ((bottom > height - 2) & (y + height < rgb.shape[0]))
        return rows[~cut] + [x, y, 0, 0, 0]

    def _look_with_border(self, rgb: np.ndarray, crop: Mapping) -> np.ndarray:
        height, width = rgb.shape[:2]
        border = round(crop["border"] * max(height, width))
        around = cv2.copyMakeBorder(rgb, *[border] * 4, cv2.BORDER_REPLICATE)
        rows = self._look(around, crop["threshold"]) - [border, border, 0, 0, 0]
        return rows[rows[:, 2] * rows[:, 3] >= crop["fills"] * width * height][:1]


class Detectors(threading.local):
    """A detector for each thread that asks for `own`, made when it first does."""

    def __init__(self, settings: Mapping):
        self.settings = settings

    @cached_property
    def own(self) -> Detector:
        """This thread's."""
        return Detector(self.settings)


def tiles(height: int, width: int, settings: Mapping) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of overlapping squares that cover the picture, in which small faces are looked for.

    None for a picture of at most `tile_from` pixels.
    """
    if max(height, width) <= settings["tile_from"]:
        return
    short, share = min(height, width), settings["tile"]
    while True:
        side = min(short, max(round(share * short), settings["tile_from"] // 2))
        step = settings["strip_step" if side == short else "tile_step"]
        across, down = (1 + int(np.ceil((length - side) / (step * side))) for length in (width, height))
        if across * down <= settings["max_tiles"] or side == short:
            break
        share *= 1.2
    for y in np.linspace(0, height - side, down).astype(int):
        for x in np.linspace(0, width - side, across).astype(int):
            yield int(x), int(y), side, side


def pieces(height: int, width: int, settings: Mapping) -> Iterator[tuple[int, int, int, int]]:
    """The same of pieces of a strip, twice as long as it is wide, in which large faces are looked for.

    As a whole a strip is a thread to the net for large faces. A face as large as the strip is wide lies whole in one
    piece. None for a picture that is no strip (`strip`).
    """
    short, long = sorted((height, width))
    if long < settings["strip"] * short or long <= settings["tile_from"]:
        return
    for start in np.linspace(0, long - 2 * short, 1 + int(np.ceil(long / short - 2))).astype(int):
        yield (int(start), 0, 2 * short, short) if width == long else (0, int(start), short, 2 * short)


def cut_out(rgb: np.ndarray, face: Face, frame: Mapping) -> np.ndarray:
    """The square around a face that `frame` (conf/faces.yaml) says, as far as the picture goes: a view of `rgb`."""
    side = max(face.width, face.height)
    whole = round(side * (1 + 2 * frame["margin"]))
    x, y = face.x + face.width / 2, face.y + face.height / 2 - frame["lift"] * side
    left, top = round(x - whole / 2), round(y - whole / 2)
    return rgb[max(0, top) : top + whole, max(0, left) : left + whole]


def _reduced(rgb: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return rgb
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _within(row: np.ndarray, width: int, height: int) -> Face:
    """The part of a find that lies in the picture, at least one pixel."""
    left, top = (int(np.clip(round(row[k]), 0, end - 1)) for k, end in ((0, width), (1, height)))
    right, bottom = (int(np.clip(round(row[k] + row[k + 2]), 1, end)) for k, end in ((0, width), (1, height)))
    return Face(left, top, max(1, right - left), max(1, bottom - top), min(1.0, float(row[4])))


class _Net:
    """One BlazeFace file, its square input and its anchors."""

    def __init__(self, name: str, side: int, cells: tuple):
        self.side = side
        self.interpreter = Interpreter(str(FOLDER / name), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = {out["shape"][-1]: out["index"] for out in self.interpreter.get_output_details()}
        self.boxes, self.scores = outputs[16], outputs[1]
        self.anchors = np.concatenate([np.repeat(_centres(n), each, axis=0) for n, each in cells])

    def find(self, rgb: np.ndarray, threshold: float) -> np.ndarray:
        """float [finds, 5]: x, y, width, height in pixels of `rgb`, score; overlapping finds are still in it."""
        height, width = rgb.shape[:2]
        scale = self.side / max(height, width)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (self.side - w) // 2, (self.side - h) // 2
        square = np.full((self.side, self.side, 3), -1, np.float32)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square[top : top + h, left : left + w] = cv2.resize(rgb, (w, h), interpolation=how) / np.float32(127.5) - 1
        self.interpreter.set_tensor(self.input, square[None])
        self.interpreter.invoke()
        logits = self.interpreter.get_tensor(self.scores)[0, :, 0]
        seen = np.flatnonzero(logits > np.log(threshold / (1 - threshold)))
        boxes = self.interpreter.get_tensor(self.boxes)[0, seen, :4]
        middle = self.anchors[seen] * self.side + boxes[:, :2]
        corner = (middle - boxes[:, 2:] / 2 - [left, top]) / scale
        score = 1 / (1 + np.exp(-logits[seen, None]))
        return np.concatenate([corner, boxes[:, 2:] / scale, score], axis=1).astype(np.float64)


def _centres(cells: int) -> np.ndarray:
    """Centres of the cells of a square grid, rows first, in 0..1."""
    ticks = (np.arange(cells) + 0.5) / cells
    return np.stack([np.tile(ticks, cells), np.repeat(ticks, cells)], axis=1)

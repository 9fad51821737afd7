"""Looks at pictures and frames in threads and hands back, in their order, what their faces seem to express."""

import io
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from pipeline.campaign import alike
from pipeline.campaign.faults import FAULTS
from pipeline.campaign.mix import Ad
from pipeline.images.decode import is_animated
from pipeline.serving.faces import Detectors, cut_out
from pipeline.serving.model import Model
from pipeline.serving.pictures import describe, look, open_picture

THUMBNAIL = 112  # pixels of a side


@dataclass
class Shot:
    """A picture as bytes, a frame as pixels, or the fault that took its place; then what was said of it.

    second: at which a frame is looked at; since: at which it had come up. answer: what `describe` says. thumbnails: a
    JPEG of each face, if they are kept. looks: of a picture, see `campaign.alike`.
    """

    ad: Ad
    second: float | None = None
    content: bytes | np.ndarray | None = None
    fault: Exception | None = None
    answer: Mapping[str, Any] | None = None
    thumbnails: list[bytes] = field(default_factory=list)
    since: float | None = None
    looks: np.ndarray | None = None


class Reader:
    """Reads shots in so many threads. faces: conf/faces.yaml. pixels: of a picture, at most."""

    def __init__(self, model: Model, faces: Mapping, pixels: int, workers: int, keep_faces: bool):
        self.model, self.faces, self.pixels, self.keep_faces = model, faces, pixels, keep_faces
        self.workers, self.detectors = workers, Detectors(faces)

    def read(self, shots: Iterable[Shot]) -> Iterator[Shot]:
        """The same shots in the same order, answered and without their content; a few are held at a time."""
        waiting: deque[Future] = deque()
        pool = ThreadPoolExecutor(self.workers, "look")
        try:
            for shot in shots:
                waiting.append(pool.submit(self._answered, shot))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _answered(self, shot: Shot) -> Shot:
        content, shot.content = shot.content, None
        try:
            if content is not None:
                rgb, animated = content, False
                if isinstance(content, bytes):
                    decoded = open_picture(content, self.pixels)
                    rgb, animated = decoded.rgb, is_animated(decoded.frames, decoded.format)
                    shot.looks = alike.looks(rgb)
                seen = look(rgb, self.detectors.own, self.model.shape, animated)
                shot.answer = describe(seen, self.model.predict(seen.crops), self.model)
                if self.keep_faces:
                    shot.thumbnails = [thumbnail(cut_out(rgb, face, self.faces["frame"])) for face in seen.faces]
        except FAULTS as fault:
            shot.fault = fault
        return shot


def thumbnail(rgb: np.ndarray) -> bytes:
    """A face as a small JPEG."""
    file = io.BytesIO()
    Image.fromarray(rgb).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC).save(file, "JPEG", quality=82)
    return file.getvalue()

"""Images that are no picture of anybody, found by their content: blank ones and placeholders.

A placeholder ("photo deleted", a warning triangle, a camera, a card of text) is computer graphics: few gray levels in
flat areas with hard edges, and no face that a detector sees. No rule here looks at file size or brightness, and each
condition spares an image when in doubt: a dark face has little contrast, soft shading or a face to be seen.
"""

from functools import cache

import numpy as np

VIEWS = 18  # that faces are looked for in


def placeholders(small: np.ndarray, entropy: np.ndarray, std: np.ndarray, rule: dict) -> np.ndarray:
    """bool [N]: which of uint8 [N, 48, 48] of these entropies (bits) and standard deviations (0-255) are placeholders.

    rule: see `placeholder` in conf/clean.yaml. The cheap figures come first: faces are looked for in few images.
    """
    found = (entropy < rule["entropy"]) & (std >= rule["contrast"])
    rows = np.flatnonzero(found)
    flat, soft = flatness(small[rows])
    found[rows] = (flat >= rule["flat"]) & (soft < rule["soft"])
    for row in rows[found[rows] & (flat < rule["surely_flat"])]:
        found[row] = face_votes(small[row], rule["votes"]) < rule["votes"]
    return found


def flatness(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares [N], 0 to 1, of the pixels of uint8 [N, 48, 48] that are flat and that are softly shaded.

    flat: the step from the pixel before, across or down, is at most 4 of 255. soft: it is 0.08 to 0.48 standard
    deviations of the image, as on skin.
    """
    levels = small.astype(np.float32)
    step = np.zeros_like(levels)
    step[:, :, 1:] = np.abs(np.diff(levels, axis=2))
    step[:, 1:] = np.maximum(step[:, 1:], np.abs(np.diff(levels, axis=1)))
    relative = step / np.maximum(levels.std((1, 2), keepdims=True), 4.0)
    return (step <= 4).mean((1, 2)), ((relative > 0.08) & (relative <= 0.48)).mean((1, 2))


def face_votes(small: np.ndarray, enough: int) -> int:
    """In how many of VIEWS a detector sees a face in uint8 [48, 48]; counting stops at `enough`.

    Views: as it is and with contrast equalised locally; upright and turned by 20 degrees either way; each before three
    cascades of OpenCV, frontal, frontal and profile of both sides (Viola and Jones, 2001). A face is three windows that
    agree, in sizes 10 % apart. Every second size is looked at first: where no window of these sizes is a face, none is
    taken to be there, and where that holds for all views of the image as it is, the equalised ones are not looked at.
    That takes a quarter of the time for most graphics.
    """
    import cv2  # here, since few images get this far

    side, border = len(small), len(small) // 4
    smallest = side * 7 // 12  # a face fills its crop; half the side takes half as long again and finds the same
    centre, votes, hints = (side / 2 + border, side / 2 + border), 0, 0
    for view in (small, cv2.createCLAHE(8.0, (4, 4)).apply(small)):
        view = cv2.copyMakeBorder(view, border, border, border, border, cv2.BORDER_REPLICATE)
        for angle in (0, -20, 20):
            turn = cv2.getRotationMatrix2D(centre, angle, 1)
            turned = cv2.warpAffine(view, turn, view.shape, borderMode=cv2.BORDER_REPLICATE) if angle else view
            for cascade, both_sides in _cascades():
                sides = (turned, np.ascontiguousarray(turned[:, ::-1])) if both_sides else (turned,)
                hinted = [each for each in sides if _seen(cascade, each, 1.1**2, 0, smallest)]
                hints += len(hinted)
                votes += any(_seen(cascade, each, 1.1, 2, smallest) for each in hinted)
                if votes >= enough:
                    return votes
        if not hints:
            break
    return votes


def _seen(cascade, view: np.ndarray, step: float, others: int, smallest: int) -> int:
    """How many faces a cascade sees: windows, in sizes `step` apart, that agree with so many others; 0: any window."""
    return len(cascade.detectMultiScale(view, step, others, minSize=(smallest, smallest)))


@cache
def _cascades() -> list:
    import cv2

    cv2.setNumThreads(1)  # worker processes share the cores already
    folder = cv2.data.haarcascades
    names = {"frontalface_default": False, "frontalface_alt2": False, "profileface": True}
    return [(cv2.CascadeClassifier(f"{folder}haarcascade_{name}.xml"), sides) for name, sides in names.items()]

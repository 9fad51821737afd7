"""What an ad's faces seem to express, counted: shares with intervals, and a video's course over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.reporting.intervals import FEWEST, effective_size, even_parts, wilson

UNSURE = "not sure"
SHOWN = ("happiness", "surprise", "neutral", "sadness", "fear", "disgust", "anger", UNSURE)  # in this order

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)  # seconds of a column of a timeline
COLUMNS = 60  # of a timeline, at most


@dataclass
class Ad:
    """A picture or video and what was seen in it.

    seen: counts [8] of faces in the order of SHOWN, by the whole second, 0 for a picture. began: the same counts by the
    second in which their frame first came up; all looks at a frame that stays count there. frames: looked at, and with
    a face. too_small, not_read: faces that were not read. note: what was wrong with it, in words; "" for nothing.
    copy: whether it was left out, as the bytes of a file before it.
    looks: of a picture, see `campaign.alike`. looks_like: the name of a picture before it that shows the same.
    """

    name: str
    kind: str
    seconds: float = 0.0
    seen: dict[int, np.ndarray] = field(default_factory=dict)
    began: dict[int, np.ndarray] = field(default_factory=dict)
    frames: int = 0
    frames_with_face: int = 0
    too_small: int = 0
    not_read: int = 0
    note: str = ""
    copy: bool = False
    looks: np.ndarray | None = None
    looks_like: str = ""

    @property
    def counts(self) -> np.ndarray:
        """Faces [8] in the order of SHOWN; in a video each face once for each look at it."""
        return np.sum([*self.seen.values()], axis=0) if self.seen else np.zeros(len(SHOWN), int)

    def add(self, second: float | None, answer: Mapping[str, Any], since: float | None = None) -> None:
        """Count what `pipeline.serving.pictures.describe` said of the picture, or of the frame at this second.

        since: the second at which that frame had come up, where it stays.
        """
        self.frames += 1
        self.frames_with_face += bool(answer["faces"])
        self.too_small += answer["too_small"]
        self.not_read += answer["not_read"]
        came_up = second if since is None else since
        for face in answer["faces"]:
            for counts, at in ((self.seen, second), (self.began, came_up)):
                row = counts.setdefault(int(at or 0), np.zeros(len(SHOWN), int))
                row[SHOWN.index(verdict(face))] += 1

    def parts(self, block_seconds: int) -> np.ndarray:
        """Counts [parts, 8] by what is taken as independent: blocks of seconds of a video, each face of a picture.

        Faces of one picture are not quite, and one picture cannot tell how far: its intervals are rather too narrow. A
        frame that stays is in the block in which it came up: looking at it again tells nothing new.
        """
        if self.kind == "picture":
            return np.repeat(np.eye(len(SHOWN), dtype=int), self.counts, axis=0)
        return np.array([*in_blocks(self.began, block_seconds).values()]).reshape(-1, len(SHOWN))

    def blocks(self, seconds: int) -> dict[int, np.ndarray]:
        """Counts [8] of a video's blocks of so many seconds, by their number from 0; those with a face."""
        return in_blocks(self.seen, seconds)


def in_blocks(counts: Mapping[int, np.ndarray], seconds: int) -> dict[int, np.ndarray]:
    """Counts by the whole second as counts by the block of so many seconds, numbered from 0."""
    found: dict[int, np.ndarray] = {}
    for second, row in counts.items():
        at = second // seconds
        found[at] = found.get(at, 0) + row
    return found


def verdict(face: Mapping[str, Any]) -> str:
    """What is said of a face: its emotion, or that it is not sure."""
    return face["predicted_emotion_label"] if face["certain"] else UNSURE


def shares(parts: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """Of each kind of SHOWN its count, share 0..1 and interval from independent parts [N, 8]; [] without a face.

    low and high are None where the parts are worth fewer than FEWEST of equal size.
    """
    counts = parts.sum(0)
    if not counts.any():
        return []
    share, low, high = counts / counts.sum(), [None] * len(SHOWN), [None] * len(SHOWN)
    if even_parts(parts) >= FEWEST:
        ends = wilson(share, effective_size(parts, confidence), confidence)
        low, high = (end.tolist() for end in ends)
    return [
        {"name": name, "count": int(count), "share": float(s), "low": lo, "high": hi}
        for name, count, s, lo, hi in zip(SHOWN, counts, share, low, high, strict=True)
    ]


def overall(ads: Sequence[Ad], block_seconds: int) -> np.ndarray:
    """Counts [parts, 8] over ads of one kind: each ad with a face is a part; a single one's parts are its own.

    Pictures that show the same are one part together: they tell nothing new of what others would show.
    """
    with_face = [ad for ad in ads if ad.seen]
    if len(with_face) == 1:
        return with_face[0].parts(block_seconds)
    parts: dict[str, np.ndarray] = {}
    for ad in with_face:
        name = ad.looks_like or ad.name
        parts[name] = parts.get(name, 0) + ad.counts
    return np.array([*parts.values()], int).reshape(-1, len(SHOWN))


def leader(parts: np.ndarray, confidence: float) -> tuple[str, bool]:
    """The emotion of SHOWN that is seen most, "" where two are level, and whether that is more than chance.

    It is when the interval of its share among the faces of it and of the next one, from independent parts [N, 8], lies
    above one half; never where the parts with either are worth fewer than FEWEST of equal size.
    """
    counts = parts.sum(0)[: SHOWN.index(UNSURE)]
    first, second = np.argsort(-counts, kind="stable")[:2]
    if counts[first] == counts[second]:
        return "", False
    both = parts[:, [first, second]]
    both = both[both.any(1)]
    if even_parts(both) < FEWEST:
        return SHOWN[first], False
    low, _ = wilson(counts[first] / both.sum(), effective_size(both, confidence)[0], confidence)
    return SHOWN[first], bool(low > 0.5)


def timeline(ad: Ad, per_second: float) -> tuple[int, list[np.ndarray]]:
    """A video in at most COLUMNS columns: seconds of one, and the counts [8] of each; zeros where no face was seen.

    per_second: looks at it; no column is shorter than the time between two, since it would be empty for want of a look.
    """
    end = max([int(ad.seconds) or 1, *(second + 1 for second in ad.seen)])
    least = max(-(-end // COLUMNS), math.ceil(1 / per_second))
    step = next((step for step in STEPS if step >= least), least)
    columns = [np.zeros(len(SHOWN), int) for _ in range(-(-end // step))]
    for second, row in ad.seen.items():
        columns[second // step] += row
    return step, columns

"""The faces that a page may show: the surest and the least sure ones, and no other."""

import heapq
from collections.abc import Mapping
from typing import Any

from pipeline.campaign.mix import verdict
from pipeline.campaign.reading import Shot
from pipeline.reporting.template import data_uri


class Kept:
    """At most so many of the most certain and of the least certain faces, one of each picture or block of a video.

    The same picture of a face, as of a slide that is looked at again and again, is there once.
    """

    def __init__(self, most: int, block_seconds: int):
        self.most, self.block_seconds = most, block_seconds
        self._heaps: dict[str, list] = {"most": [], "least": []}
        self._number = 0

    def add(self, shot: Shot) -> None:
        """Look at the faces of a shot that has thumbnails; what is not among the chosen is forgotten."""
        faces = [*zip(shot.answer["faces"], shot.thumbnails, strict=True)]
        for name, sign in (("most", 1), ("least", -1)):
            face, jpeg = max(faces, key=lambda pair: sign * surety(pair[0]))
            self._offer(self._heaps[name], sign * surety(face), shot, face, jpeg)

    def _offer(self, heap: list, rank: float, shot: Shot, face: Mapping[str, Any], jpeg: bytes) -> None:
        """A heap of (rank, -number, place, face); its first is the next to go.

        One face may be of the place of one entry and have the picture of another: it stands for both, or for neither.
        """
        self._number += 1
        place = (shot.ad.name, None if shot.second is None else shot.second // self.block_seconds)
        said = for_page(shot, face, jpeg)
        entry = (rank, -self._number, place, said)
        same = [each for each in heap if each[2] == place or each[3]["picture"] == said["picture"]]
        if any(each[0] >= rank for each in same):
            return
        if same:
            heap[:] = [each for each in heap if each not in same]
            heapq.heapify(heap)
        if len(heap) < self.most:
            heapq.heappush(heap, entry)
        elif heap:
            heapq.heappushpop(heap, entry)

    def faces(self) -> dict[str, list[dict[str, Any]]]:
        """The chosen ones under "most" and "least", each the surest or least sure first."""
        return {name: [entry[3] for entry in sorted(heap, reverse=True)] for name, heap in self._heaps.items()}


def surety(face: Mapping[str, Any]) -> float:
    """Probability of a face's likeliest emotion."""
    return face["class_probabilities"][face["predicted_emotion_label"]]


def for_page(shot: Shot, face: Mapping[str, Any], jpeg: bytes) -> dict[str, Any]:
    """What the page says of a face."""
    return {
        "file": shot.ad.name,
        "second": shot.second,
        "said": verdict(face),
        "closest": face["predicted_emotion_label"],
        "share": surety(face),
        "picture": data_uri(jpeg, "image/jpeg"),
    }

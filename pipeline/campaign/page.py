"""The page about a campaign: what its template campaign/page.html is given."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.campaign.mix import SHOWN, UNSURE, Ad, leader, overall, shares, timeline
from pipeline.reporting.intervals import FEWEST
from pipeline.reporting.template import page, percent

TEMPLATE = Path(__file__).parent / "page.html"
LOOKS = Path(__file__).parents[1] / "serving" / "page"  # the service's page: the report looks as it does
MOMENT_FACES = 3  # looks at an emotion in a block of a video from which on it can be the strongest moment


def make(
    source: str, ads: Sequence[Ad], kept: Mapping[str, list], about: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """The page as HTML. source: name of the campaign. kept: faces to show, [] for none. about: the model's manifest."""
    block, confidence = settings["block_seconds"], settings["confidence"]
    read = [ad for ad in ads if ad.frames]
    with_face = [ad for ad in read if ad.seen]
    most_faces = sorted(with_face, key=lambda ad: -ad.counts.sum())[: settings["ads_shown"]]
    listed = sorted(most_faces, key=lambda ad: ad.name)
    faulty = [ad for ad in ads if ad.note]
    kinds = [each for kind in ("picture", "video") if (each := group(kind, read, block, confidence))]
    context = {
        "source": source,
        "style": Markup((LOOKS / "style.css").read_text(encoding="utf-8")),
        "icon": Markup((LOOKS / "icon.svg").read_text(encoding="utf-8")),
        "shown": SHOWN,
        "facts": facts(read, ads, kinds),
        "kinds": kinds,
        "lanes": [lane(ad, block, confidence) for ad in listed],
        "left_out": len(with_face) - len(listed),
        "videos": [course(ad, block, settings["frames_per_second"]) for ad in listed if ad.kind == "video"],
        "kept": kept,
        "keep_faces": settings["keep_faces"],
        "without_face": [ad for ad in read if not ad.seen],
        "faulty": faulty,
        "noted": [
            ("could not be read", [ad for ad in faulty if not ad.frames and not ad.copy]),
            ("left out as the same as another", [ad for ad in faulty if ad.copy]),
            ("read with a remark", [ad for ad in faulty if ad.frames]),
        ],
        "not_counted": [left for kind in ("picture", "video") if (left := not_counted(kind, ads))],
        "about": about,
        "level": f"{100 * confidence:g}",
        "frames_per_second": settings["frames_per_second"],
        "block_seconds": block,
        "fewest": FEWEST,
        "ads_shown": settings["ads_shown"],
        "clock": clock,
        "today": f"{date.today():%-d %B %Y}",
    }
    return page(TEMPLATE, context)


def facts(read: Sequence[Ad], ads: Sequence[Ad], groups: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What stands in large type at the top: a figure and its words."""
    pictures, videos = (sum(ad.kind == kind for ad in read) for kind in ("picture", "video"))
    kinds = [said(n, *words) for n, words in ((pictures, PICTURES), (videos, VIDEOS)) if n]
    found = [(" and ".join(kinds), "read" if len(read) == len(ads) else f"read, of {said(len(ads), 'file', 'files')}")]
    if not groups:
        found.append(("0 faces", "found"))
    # by kind, as the mixes: a video, whose faces count at each look, would outweigh any number of pictures
    for each in groups:
        if each["kind"] == "picture":
            found.append((said(each["faces"], "face", "faces"), "found in the pictures"))
        else:
            found.append((said(each["faces"], "reading", "readings"), "of faces in the videos, one at each look"))
        lead = (each["best"]["name"].capitalize(), "leads ") if each["leads"] else ("No clear lead", "")
        unsure = percent(each["mix"][-1]["share"], 0)
        found.append((lead[0], f"{lead[1]}in the {each['kind']}s; {unsure} not clear enough to be named"))
    return found


PICTURES, VIDEOS = ("picture", "pictures"), ("video", "videos")


def group(kind: str, read: Sequence[Ad], block: int, confidence: float) -> dict[str, Any] | None:
    """All ads of a kind together; None without a face in them."""
    of_kind = [ad for ad in read if ad.kind == kind]
    parts = overall(of_kind, block)
    if not len(parts):
        return None
    return {
        "kind": kind,
        "ads": said(len(of_kind), *(PICTURES if kind == "picture" else VIDEOS)),
        "with_face": sum(bool(ad.seen) for ad in of_kind),
        "alike": sum(bool(ad.looks_like) for ad in of_kind if ad.seen),
        "faces": int(parts.sum()),
        **mix(parts, confidence),
    }


def not_counted(kind: str, ads: Sequence[Ad]) -> dict[str, Any] | None:
    """Faces of a kind of ads that were seen and not read; None without one."""
    of_kind = [ad for ad in ads if ad.kind == kind]
    too_small, not_read = sum(ad.too_small for ad in of_kind), sum(ad.not_read for ad in of_kind)
    return {"kind": kind, "too_small": too_small, "not_read": not_read} if too_small or not_read else None


def lane(ad: Ad, block: int, confidence: float) -> dict[str, Any]:
    """One ad's mix, and by emotion what it is sorted by: the low end of the range, below all that have one without."""
    found = mix(ad.parts(block), confidence)
    order = [each["share"] - 1 if each["low"] is None else each["low"] for each in found["mix"]]
    return {"ad": ad, "faces": int(ad.counts.sum()), "order": order} | found


def mix(parts: np.ndarray, confidence: float) -> dict[str, Any]:
    """Shares of counts [parts, 8], the `best` emotion, None where two are level, and whether it surely `leads`."""
    of = shares(parts, confidence)
    best, leads = leader(parts, confidence)
    return {"mix": of, "best": next((each for each in of if each["name"] == best), None), "leads": leads}


def course(ad: Ad, block: int, per_second: float) -> dict[str, Any]:
    """A video over time: columns with what is stacked in them, times under them, and its strongest moment."""
    step, counts = timeline(ad, per_second)
    most = max(int(column.sum()) for column in counts)
    columns = [
        {
            "start": number * step,
            "faces": int(column.sum()),
            "tall": column.sum() / most,
            "shares": (of := {name: n / column.sum() for name, n in zip(SHOWN, column, strict=True) if n}),
            "stack": stacked(of),
        }
        for number, column in enumerate(counts)
    ]
    every = next(n for n in (1, 2, 5, 10, 15, 20, 30, 60) if len(columns) / n <= 6)
    ticks = [(100 * n / len(columns), clock(n * step)) for n in range(0, len(columns), every)]
    peak = moment(ad, max(step, block), step * len(counts))
    return {"ad": ad, "step": step, "columns": columns, "ticks": ticks, "moment": peak}


def stacked(of: Mapping[str, float]) -> list[dict[str, Any]]:
    """Shares of a column of a timeline, the place of each from the top, 0..1."""
    tops = accumulate(of.values(), initial=0.0)
    return [{"name": name, "share": share, "top": top} for (name, share), top in zip(of.items(), tops, strict=False)]


def moment(ad: Ad, seconds: int, end: int) -> dict[str, Any] | None:
    """The block of so many seconds in which the emotion that a video shows most, neutral aside, has its largest share.

    None without one, and where it is never seen at MOMENT_FACES looks of a block: a single one may be misread. It tells
    where to look and no more: a block is one look at a face, of which chance can explain anything.
    """
    at = [number for number, name in enumerate(SHOWN) if name not in ("neutral", UNSURE)]
    best = max(at, key=lambda number: ad.counts[number])
    blocks = ad.blocks(seconds).items()
    there = {number: row[best] / row.sum() for number, row in blocks if row[best] >= MOMENT_FACES}
    if not there:
        return None
    peak = max(there, key=there.get)
    start, until = peak * seconds, min((peak + 1) * seconds, end)
    found = {"name": SHOWN[best], "share": there[peak], "usual": ad.counts[best] / ad.counts.sum()}
    return found | {"start": clock(start), "end": clock(until)}


def clock(seconds: float) -> str:
    """Seconds as 1:05 or 1:00:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def said(count: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many}"

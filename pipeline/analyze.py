"""Read a campaign's pictures and videos: what the faces in them seem to express, as tables and as a page for people.

Needs the extra `serve` and nothing of TensorFlow. Each picture or video is one ad; what it shows is decided by content.
Writes to `out`, whole or not at all:

- index.html: the page, complete in itself; loads nothing from a network.
- faces.csv, faces.parquet: a row for each face. file; second, of a video; face, its number from the left;
  x, y, width, height in pixels of the upright picture; score, how sure the detector is of it, 0 to 1; emotion, what is
  said of it, "not sure" too; likeliest, of the seven; anger to neutral, how likely each is, sum 1.
- ads.csv, ads.xlsx: a row for each file. kind; seconds; frames, looks taken and those with a face, a still one at each
  look; faces, in a video each once for every look at it; too_small and not_read, faces that were left out, counted
  likewise; note, what was wrong; looks_like, a picture before it that shows the same; for each emotion and not_sure the
  share of faces and its interval (_low, _high), empty where too few were seen.

A file that is, byte for byte, the same as one before is not read again; its row's note names that one. Pictures that
show the same in another size, or cut to another format about their middle, are read and counted, but for the ranges,
and for what leads, they are one.

In the CSVs one of = + - @ ' that begins a name, or follows a ; in it, has a ' before it, so that no spreadsheet runs it
as a formula. Parquet and ads.xlsx have the names as they are.
"""

import hashlib
import logging
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from omegaconf import DictConfig, OmegaConf

from pipeline.campaign import alike, page, tables
from pipeline.campaign.faults import FAULTS, Copy
from pipeline.campaign.files import Files, open_files, shown
from pipeline.campaign.kept import Kept
from pipeline.campaign.mix import Ad
from pipeline.campaign.reading import Reader, Shot
from pipeline.campaign.video import Video
from pipeline.running import cli
from pipeline.running.cores import workers
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, refuse_inside, whole_folder
from pipeline.running.progress import progress
from pipeline.serving.model import Model
from pipeline.serving.pictures import ANIMATED

log = logging.getLogger(__name__)

WRITTEN = {"index.html", "faces.csv", "faces.parquet", "ads.csv", "ads.xlsx"}


def main(cfg: DictConfig) -> None:
    """Read what `cfg` (conf/analyze.yaml) says and tell where the report is."""
    settings = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    source, out = Path(settings["source"]), Path(settings["out"])
    files = open_files(source, settings["limits"]["video_bytes"])
    refuse_place(out, source)
    model = Model(Path(settings["exported"]), settings["batch_sizes"], threads=1)
    ads = {name: ad_of(files, name) for name in files.names}
    threads = workers(settings["workers"])
    reader = Reader(model, settings["faces"], settings["limits"]["pixels"], threads, settings["keep_faces"])
    kept = Kept(settings["faces_shown"], settings["block_seconds"])
    with whole_folder(out) as folder:
        with open_table(folder / "faces.csv") as file:
            rows = tables.FacesCsv(file)
            for shot in reader.read(shots(files, ads, settings)):
                count(shot, rows, kept)
        refuse_nothing(ads, source)
        note_alike([ad for ad in ads.values() if ad.looks is not None], settings["same_picture"])
        tables.to_parquet(folder / "faces.csv", folder / "faces.parquet")
        with open_table(folder / "ads.csv") as file:
            tables.write_ads(file, ads.values(), settings["block_seconds"], settings["confidence"])
        workbook = tables.workbook(ads.values(), settings["block_seconds"], settings["confidence"])
        (folder / "ads.xlsx").write_bytes(workbook)
        made = page.make(title(source), [*ads.values()], kept.faces(), model.about, settings)
        (folder / "index.html").write_text(made, encoding="utf-8")
        refuse_place(out, source)  # what somebody has put there since would be lost
    say([*ads.values()], out)


def refuse_place(out: Path, source: Path) -> None:
    """UserError for an output folder that can't be written, lies in the source or holds anything but a report."""
    refuse_inside(out, source)
    check_place(out, "index.html", WRITTEN)


def title(source: Path) -> str:
    """What a campaign is called on its page: the name of its folder or file, that of `.` and `..` as well."""
    return shown(Path(os.path.abspath(source)).name)


def open_table(path: Path) -> TextIO:
    """A CSV to write, with the mark by which Excel knows UTF-8."""
    return path.open("w", encoding="utf-8-sig", newline="")


def ad_of(files: Files, name: str) -> Ad:
    """The file as an ad of which nothing is known yet; its kind is "" where it is no picture and no video."""
    try:
        return Ad(shown(name), files.kind(name))
    except FAULTS as fault:
        return Ad(shown(name), "", note=str(fault))


def shots(files: Files, ads: Mapping[str, Ad], settings: Mapping[str, Any]) -> Iterator[Shot]:
    """All pictures, then of all videos the frames, while showing how far they got."""
    first: dict[bytes, str] = {}  # of each content the name
    pictures, videos = ([name for name, ad in ads.items() if ad.kind == kind] for kind in ("picture", "video"))
    for name in progress(pictures, len(pictures), "pictures"):
        try:
            content = files.picture(name, settings["limits"]["picture_bytes"])
            refuse_copy(hashlib.sha256(content).digest(), name, first)
            yield Shot(ads[name], content=content)
        except FAULTS as fault:
            yield Shot(ads[name], fault=fault)
    for number, name in enumerate(videos, 1):
        try:
            with files.video(name) as file:
                refuse_copy(hashlib.file_digest(file, "sha256").digest(), name, first)
                file.seek(0)
                yield from frames(file, ads[name], f"video {number} of {len(videos)}", settings)
        except FAULTS as fault:
            yield Shot(ads[name], fault=fault)


def refuse_copy(digest: bytes, name: str, first: dict[bytes, str]) -> None:
    """Copy for the content of a file before: it tells nothing new, and counted twice it would narrow the ranges."""
    before = first.setdefault(digest, name)
    if before != name:
        raise Copy(f"The same file as {shown(before)}, and left out.")


def frames(file: BinaryIO, ad: Ad, what: str, settings: Mapping[str, Any]) -> Iterator[Shot]:
    """The frames of an open video that are looked at."""
    video, rate = Video(file, settings["limits"]["pixels"]), settings["frames_per_second"]
    ad.seconds = video.seconds
    for second, since, rgb in progress(video.frames(rate), math.ceil(video.seconds * rate), what, "frame"):
        yield Shot(ad, second, rgb, since=since)
    ad.seconds = video.seconds  # as it was read: not every header says it


def count(shot: Shot, rows: tables.FacesCsv, kept: Kept) -> None:
    """Take up what was found in a picture or frame."""
    if shot.fault:
        shot.ad.note, shot.ad.copy = str(shot.fault), isinstance(shot.fault, Copy)
        return
    if shot.answer["animated"]:
        shot.ad.note = ANIMATED
    shot.ad.add(shot.second, shot.answer, shot.since)
    shot.ad.looks = shot.looks
    rows.add(shot.ad.name, shot.second, shot.answer["faces"])
    if shot.thumbnails:
        kept.add(shot)


def note_alike(pictures: list[Ad], similarity: float) -> None:
    """Note of each picture which one before it shows the same, in another size or format."""
    for ad, first in zip(pictures, alike.groups([ad.looks for ad in pictures], similarity), strict=True):
        ad.looks_like = "" if pictures[first] is ad else pictures[first].name


def refuse_nothing(ads: Mapping[str, Ad], source: Path) -> None:
    """UserError when not one file could be read."""
    if not any(ad.frames for ad in ads.values()):
        first = next(iter(ads.values()))
        raise UserError(f"{source}: none of its {len(ads):,} files can be read; {first.name}: {first.note}")


def say(ads: list[Ad], out: Path) -> None:
    """What was read and where it is, on stderr."""
    read, faces = sum(ad.frames > 0 for ad in ads), sum(ad.counts.sum() for ad in ads)
    copies, faults = sum(ad.copy for ad in ads), sum(bool(ad.note) and not ad.copy for ad in ads)
    at_each_look = ", in a video counted at each look" if any(ad.kind == "video" for ad in ads) else ""
    log.info("%d of %d files read, %d faces%s", read, len(ads), faces, at_each_look)
    if again := sum(bool(ad.looks_like) for ad in ads):
        log.info("%d of them show the same as another; for the ranges they are one with it", again)
    if faults or copies:
        log.info(
            "%d not or not wholly read, %d the same as another: listed on the page and in ads.xlsx", faults, copies
        )
    log.info(
        "open %s in a browser; the tables are beside it: ads.xlsx, ads.csv, faces.csv, faces.parquet",
        out / "index.html",
    )


if __name__ == "__main__":
    cli.run("analyze")

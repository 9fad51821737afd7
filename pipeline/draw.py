"""Draw the embedded data set: about 1,400 JPEG files in MMAFEDB's layout, with planted faults and a list of them.

`output`/MMAFEDB/{train,valid,test}/{angry,...}/face_NNNNN.jpg, and `output`/truth.csv with the columns id (path inside
MMAFEDB), fault, of (id of the picture that it repeats, or empty) and expected: "drop" (cleaning has to drop it from
train), "report" (has to be reported, but stays), "keep" (has to stay).

An emotion is a prototype of FACS action units (Ekman & Friesen 1978; prototypes after EMFACS and Lucey et al., The
Extended Cohn-Kanade Dataset, CVPR Workshops 2010, table 1) with a random strength, jitter on each unit, at times a unit
missing or a stray one, so that the classes overlap a little. Everything else (person, pose, light, background, camera)
is drawn without regard to the emotion. Each file depends on the seed and its own number only, so neither the order nor
the number of processes changes a byte.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from pipeline.drawing.camera import backdrop, photograph
from pipeline.drawing.dirt import NEAR, blank, not_an_image, placeholder, repeat, truncated
from pipeline.drawing.faces import UNITS, action_units, random_person, random_shot
from pipeline.drawing.sketch import draw_face
from pipeline.labels import FOLDERS, SPLITS
from pipeline.running import cli
from pipeline.running.cores import workers
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, whole_folder
from pipeline.running.pool import in_processes
from pipeline.running.progress import progress

ROOT = "MMAFEDB"


@dataclass(frozen=True)
class Picture:
    """A file to write. `number` seeds it; `nth` counts the pictures of its fault; `of` is the picture it repeats."""

    id: str
    number: int
    person: int
    fault: str = ""
    nth: int = 0
    of: "Picture | None" = None

    @property
    def folder(self) -> str:
        """Its class folder."""
        return self.id.split("/")[1]


def main(cfg: DictConfig) -> None:
    """Draw what `cfg` (conf/draw.yaml) says and print where it is and how much."""
    values = OmegaConf.to_container(cfg, resolve=True)
    output = Path(cfg.output)
    check_place(output, "truth.csv")
    check(values)
    pictures = plan(cfg.images, cfg.identities, cfg.shares, cfg.dirt, cfg.seed)
    with whole_folder(output, "truth.csv") as folder:
        write(folder, pictures, values, workers(cfg.workers))
    print(f"{output / ROOT}: {len(pictures):,} files of drawn faces")
    for split in SPLITS:
        count = Counter(picture.folder for picture in pictures if picture.id.startswith(f"{split}/"))
        print(f"  {split:6} {count.total():5}  " + "  ".join(f"{name} {count[name]}" for name in FOLDERS))
    faults = Counter(picture.fault for picture in pictures if picture.fault)
    listed = ", ".join(f"{faults[fault]} {fault}" for fault in cfg.dirt)
    print(f"{output / 'truth.csv'}: {faults.total()} planted faults: {listed}")


def check(values: Mapping) -> None:
    """UserError for a reversed range, shares that do not add up to 1, unknown folders or units."""
    for group in ("expression", "view", "camera", "dark"):
        for name, value in values[group].items():
            if isinstance(value, list) and not (len(value) == 2 and value[0] <= value[1]):
                raise UserError(f"{group}.{name}={value}: expected [lowest, highest]")
    for name in ("shares", "emotions"):
        if set(values[name]) != set(FOLDERS):
            raise UserError(f"{name}: expected exactly the class folders {', '.join(FOLDERS)}")
    for folder, prototype in values["emotions"].items():
        if unknown := set(prototype) - set(UNITS):
            raise UserError(f"emotions.{folder}: {', '.join(sorted(unknown))} is not drawn; known: {', '.join(UNITS)}")
        for unit, value in prototype.items():
            if len(value) != 2:
                raise UserError(f"emotions.{folder}.{unit}={value}: expected [intensity, probability]")
    if abs(sum(values["shares"].values()) - 1) > 1e-6:
        raise UserError(f"shares: they add up to {sum(values['shares'].values()):.3f}; expected 1")


def plan(
    images: Mapping[str, int], identities: Mapping[str, int], shares: Mapping[str, float], dirt: Mapping, seed: int
) -> list[Picture]:
    """All files by id, each with its person and its fault. Raises UserError when `images` are too few for `dirt`.

    A copy in train comes after its original in the order of ids, and a picture is repeated at most once.
    """
    rng = np.random.default_rng((seed, 0))
    ids, persons, first = [], {}, 0
    numbers = iter(rng.permutation(sum(images.values())))
    for split in SPLITS:
        edges = np.round(np.cumsum([shares[folder] for folder in FOLDERS]) * images[split]).astype(int)
        for folder, count in zip(FOLDERS, np.diff(edges, prepend=0), strict=True):
            ids += [f"{split}/{folder}/face_{next(numbers):05}.jpg" for _ in range(count)]
        persons[split] = (first, first := first + identities[split])
    ids.sort()
    pictures = {id: Picture(id, number, int(rng.integers(*persons[id.split("/")[0]]))) for number, id in enumerate(ids)}
    free = [ids[k] for k in rng.permutation(len(ids))]

    def take(split: str, folder: str = "", but: str = "") -> str:
        for id in free:
            parts = id.split("/")
            if parts[0] == split and folder in ("", parts[1]) and parts[1] != but:
                free.remove(id)
                return id
        raise UserError(f"images.{split}={images[split]}: too few for the planted faults; raise it or lower dirt.*")

    def plant(fault: str, id: str, nth: int, of: str | None = None) -> None:
        old = pictures[id]
        pictures[id] = Picture(id, old.number, old.person, fault, nth, pictures[of] if of else None)

    for fault, wanted in dirt.items():
        by_split = wanted if isinstance(wanted, Mapping) else {"train": wanted}
        for nth, split in enumerate(split for split, count in by_split.items() for _ in range(count)):
            if fault in ("exact_duplicate", *NEAR):
                of = take(split)
                copy = take("train", of.split("/")[1])
                of, copy = sorted((of, copy)) if split == "train" else (of, copy)
                plant(fault, copy, nth, of)
            elif fault == "valid_in_test":
                of = take("valid")
                plant(fault, take("test", of.split("/")[1]), nth, of)
            elif fault == "other_label":
                of = take(split)
                of, copy = sorted((of, take(split, but=of.split("/")[1])))
                plant(fault, copy, nth, of)
            else:
                plant(fault, take(split), nth)
    return [pictures[id] for id in ids]


def write(folder: Path, pictures: Sequence[Picture], values: Mapping, workers: int) -> None:
    """Write the files and the truth into `folder`."""
    for split in SPLITS:
        for name in FOLDERS:
            (folder / ROOT / split / name).mkdir(parents=True)
    with in_processes(partial(content, values=values), pictures, workers) as drawn:
        for picture, data in zip(pictures, progress(drawn, len(pictures), "drawing"), strict=True):
            (folder / ROOT / picture.id).write_bytes(data)
    expected = {"dark_face": "keep", "valid_in_test": "report"}
    with (folder / "truth.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "fault", "of", "expected"))
        for p in pictures:
            if p.fault:
                table.writerow((p.id, p.fault, p.of.id if p.of else "", expected.get(p.fault, "drop")))


def content(picture: Picture, values: Mapping) -> bytes:
    """The bytes of one file, its planted fault included."""
    rng = np.random.default_rng((values["seed"], 1, picture.number))
    fault = picture.fault
    if fault == "empty":
        return b""
    if fault == "not_an_image":
        return not_an_image(picture.number)
    if fault == "blank":
        return blank(picture.nth, values["camera"]["size"][0])
    if fault == "placeholder":
        return placeholder(picture.nth, values["camera"]["size"][0], rng)
    if picture.of is not None:
        return repeat(content(picture.of, values), fault, picture.nth)
    camera = values["camera"]
    if fault == "dark_face":
        size = camera["size"][0] if picture.nth % 4 else camera["size"][1]
        camera = camera | values["dark"] | {"size": [size, size]}
    low, high = camera["size"]
    side = low if rng.random() < camera["smallest_share"] else int(rng.integers(low, high + 1))
    drawing = face(picture, side * camera["supersampling"], values, rng)
    data = photograph(drawing, side, camera, rng)
    return truncated(data, rng) if fault == "truncated" else data


def face(picture: Picture, side: int, values: Mapping, rng: np.random.Generator) -> Image.Image:
    """The drawing of a picture's person with its folder's emotion, RGB, `side` pixels a side."""
    person = random_person(np.random.default_rng((values["seed"], 2, picture.person)))
    shot = random_shot(values["view"], rng)
    units = action_units(values["emotions"][picture.folder], values["expression"], rng)
    return draw_face(person, units, shot, backdrop(side, rng), rng)


if __name__ == "__main__":
    cli.run("draw")

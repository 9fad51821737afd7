"""What the folders of a source are: which one holds the data set, and the split and the emotion of each image in it.

A data set is `<split>/<class>/<image>`, at the top of the source or any number of folders below it. Folders are called
as in MMAFEDB, `train/angry`, or as `layout` of a file of conf/data/ says.
"""

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.labels import FOLDERS, LABELS, SPLITS
from pipeline.running.errors import UserError

UNREAD = "none"  # the emotion of a class folder that is passed over


class Place(NamedTuple):
    """Where an image belongs: its split, and its label as a position in `LABELS`."""

    split: str
    label: int


@dataclass(frozen=True)
class Layout:
    """The folders' names beside the usual ones, and what of train is valid: `layout` of a file of conf/data/.

    splits: a folder's name, and train, valid or test. folders: that of a class, and its emotion or `UNREAD`.
    valid_share: of the images of train, which become valid where the source has none; 0: it has. valid_seed: which.
    """

    splits: Mapping[str, str]
    folders: Mapping[str, str]
    valid_share: float
    valid_seed: int

    @property
    def needed(self) -> tuple[str, ...]:
        """The splits that the source has to have."""
        return tuple(split for split in SPLITS if split != "valid" or not self.valid_share)

    @property
    def of_train(self) -> tuple[str, ...]:
        """The splits whose images are of the source's train."""
        return ("train", "valid") if self.valid_share else ("train",)

    @property
    def split_of(self) -> dict[str, str]:
        """The split that a folder of each name is."""
        return {split: split for split in SPLITS} | dict(self.splits)

    @property
    def emotion_of(self) -> dict[str, str]:
        """The emotion, or `UNREAD`, of a class folder of each name."""
        return {label: label for label in LABELS} | FOLDERS | dict(self.folders)

    @property
    def classes(self) -> list[str]:
        """The names to expect of class folders: for each emotion those that were given, else MMAFEDB's; sorted."""
        given = {name for name, emotion in self.folders.items() if emotion != UNREAD}
        usual = {name for name, emotion in FOLDERS.items() if emotion not in self.folders.values()}
        return sorted(given | {name for name in usual if self.emotion_of[name] != UNREAD})

    @property
    def of_classes(self) -> str:
        """The class folders to expect, in words."""
        return f"{{{','.join(self.classes)}}}/<images>"

    def __str__(self) -> str:
        given = {split: [name for name, other in self.splits.items() if other == split] for split in self.needed}
        splits = [name for split in self.needed for name in given[split] or [split]]
        return f"{{{','.join(splits)}}}/{self.of_classes}"


def layout_of(data: Mapping[str, Any]) -> Layout:
    """`layout` of a file of conf/data/, whose folders YAML may take for numbers."""
    values = data["layout"]
    names = {key: {str(name): meant for name, meant in values[key].items()} for key in ("splits", "folders")}
    return Layout(**names, valid_share=values["valid_share"], valid_seed=values["valid_seed"])


def placed(files: Iterable[str], folders: set[str], layout: Layout, path: str) -> tuple[str, dict[str, Place]]:
    """The folder of the data set, "" or "a/b/", and by its path from there, sorted, the place of each image.

    files, folders: what the source at `path` has, by POSIX paths from its top. UserError for no data set or several, a
    class that is unknown, and one or a split without images.
    """
    files = list(files)
    root = _root_of(files, folders, layout, path)
    return root, _places(files, folders, root, layout, path)


def labelled(files: Iterable[str], layout: Layout, split: str, path: str) -> tuple[str, dict[str, Place]]:
    """As `placed`, the images in class folders: those of `split`, or of a source without splits all.

    The class of an image is the nearest of its folders that is called as one, its split the nearest above that.
    Emotions may be missing. UserError for a class that is unknown, no such split, and for no image.
    """
    split_of, emotion_of = layout.split_of, layout.emotion_of
    found, above, strangers, around, unsplit = {}, set(), {}, set(), set()
    for file in sorted(files):
        folders = file.split("/")[:-1]
        at = next((at for at in reversed(range(len(folders))) if folders[at] in emotion_of), None)
        if at is None:
            strangers |= {tuple(folders[:at]): folders[at] for at in range(len(folders)) if folders[at] not in split_of}
            continue
        around.add(tuple(folders[:at]))
        if emotion_of[folders[at]] != UNREAD:
            top = next((top for top in reversed(range(at)) if folders[top] in split_of), None)
            name = "" if top is None else split_of[folders[top]]
            found[file] = Place(name, LABELS.index(emotion_of[folders[at]]))
            above.add("/" + "/".join(folders[: at if top is None else top]))
            unsplit |= {"/".join(folders[:at])} if top is None else set()
    unknown = next((where for where in sorted(strangers) if where in around), None)
    if unknown is not None:
        raise UserError(_unknown_class(path, "/".join([*unknown, strangers[unknown]]), layout))
    _refuse_undecodable(found, path)
    there = {place.split for place in found.values()}
    if not found:
        raise UserError(f"{path}: no image in a class folder; expected {layout.of_classes}, in splits or not")
    if len(unsplit) > 1 or (unsplit and there != {""}):
        raise UserError(
            f"{path}: {_listed(sorted(unsplit))}: which split is that? Say it in data.layout.splits, or give one alone"
        )
    if there != {""} and split not in there:
        raise UserError(f"{path}: no {split} in it; it has {' and '.join(sorted(there - {''}))}: split=<one of them>")
    root = f"{posixpath.commonpath(above)}/".lstrip("/")
    kept = {file: place for file, place in found.items() if there == {""} or place.split == split}
    return root, {file[len(root) :]: Place(split, place.label) for file, place in kept.items()}


def _unknown_class(path: str, folder: str, layout: Layout) -> str:
    return (
        f"{path}: unknown class folder {folder!r}; expected are {', '.join(layout.classes)}; rename or remove it, or "
        "give its emotion in data.layout.folders"
    )


def _root_of(files: list[str], folders: set[str], layout: Layout, path: str) -> str:
    """The folder that holds the splits: the one with most of them, of several the one nearest to the top."""
    split_of, splits = layout.split_of, {}
    for folder in folders:
        parent, _, name = folder.rpartition("/")
        if name in split_of:
            splits.setdefault(parent, set()).add(split_of[name])
    if not splits:
        if not files:
            raise UserError(f"{path}: empty; expected {layout}")
        of_classes = {each.rpartition("/")[0] for each in folders if each.rpartition("/")[2] in layout.emotion_of}
        others = _listed(sorted(of_classes - {""}))
        there = f"; it has {others}: say in data.layout which is which" if others else ""
        table = next((file for file in sorted(files) if file.lower().endswith(".csv")), None)
        if table and not of_classes:
            there = f"; where {table!r} has the pixels of images, take it out and give it as source"
        raise UserError(f"{path}: no {_said(layout.needed)} in it or below it; expected {layout}{there}")
    most = max(map(len, splits.values()))
    nearest = min(root.count("/") + bool(root) for root, found in splits.items() if len(found) == most)
    roots = [root for root, found in splits.items() if len(found) == most and root.count("/") + bool(root) == nearest]
    if len(roots) > 1:
        first, second = sorted(roots)[:2]
        raise UserError(f"{path}: two data sets in it, {first!r} and {second!r}; give the path of one as source")
    if splits[roots[0]] >= set(layout.needed):
        _refuse_incomplete(splits.keys() - roots, folders, roots[0], layout, path)
    return roots[0] + "/" if roots[0] else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (" and others" if len(names) > 3 else "")


def _said(splits: tuple[str, ...]) -> str:
    return f"{', '.join(f'{split}/' for split in splits[:-1])} and {splits[-1]}/"


def _refuse_incomplete(others: Iterable[str], folders: set[str], root: str, layout: Layout, path: str) -> None:
    """UserError for a data set without all splits that is no deeper than `root`: it may be the one that is meant."""
    split_of, classes = layout.split_of, layout.emotion_of
    for other in sorted(others):
        prefix = other + "/" if other else ""
        here = [name for name in split_of if any(f"{prefix}{name}/{each}" in folders for each in classes)]
        if here and prefix.count("/") <= root.count("/") + bool(root):
            missing = next(split for split in SPLITS if split not in {split_of[name] for name in here})
            raise UserError(
                f"{path}: split {prefix + missing!r} is missing beside {prefix + here[0]!r}, and a whole data set lies "
                f"in {root!r}; rename a folder to the missing one, or make a source of the one that you mean alone"
            )


def _places(files: Iterable[str], folders: set[str], root: str, layout: Layout, path: str) -> dict[str, Place]:
    """The place of each image below `root`, by its path from there, sorted."""
    split_of, emotion_of = layout.split_of, layout.emotion_of
    below = sorted(folder[len(root) :].split("/") for folder in folders if folder.startswith(root))
    pairs = [parts for parts in below if len(parts) == 2]
    for split, name in pairs:
        if split in split_of and name not in emotion_of:
            raise UserError(_unknown_class(path, f"{root}{split}/{name}", layout))
    places = {}
    for id in sorted(file[len(root) :] for file in files if file.startswith(root)):
        split, _, rest = id.partition("/")
        name, within, _ = rest.partition("/")
        if split in split_of and within and emotion_of[name] != UNREAD:
            places[id] = Place(split_of[split], LABELS.index(emotion_of[name]))
    _refuse_undecodable(places, path)
    others = {split for split, name in pairs if split not in split_of and name in emotion_of}
    _refuse_missing(places, root, others, layout, path)
    return _with_valid(places, layout, path) if layout.valid_share else places


def _refuse_missing(places: Mapping[str, Place], root: str, others: set[str], layout: Layout, path: str) -> None:
    """UserError for a split, or an emotion in one, without images, and for a valid that is there and to be drawn.

    others: folders beside the splits that hold classes too; one may be what is missing.
    """
    found, there = Counter(places.values()), _listed(sorted(others))
    for split in layout.needed:
        missing = [label for label in range(len(LABELS)) if not found[split, label]]
        if len(missing) == len(LABELS):
            expected = f"is it {there}? Expected" if others else "expected"
            raise UserError(
                f"{path}: split {root + split!r} is missing or empty; {expected} {layout}; folders of other names, and "
                "a valid that is to be drawn from train, go into data.layout"
            )
        if missing:
            emotion = LABELS[missing[0]]
            named = [name for name in layout.classes if layout.emotion_of[name] == emotion]
            if not named:
                raise UserError(f"{path}: data.layout.folders has none for {emotion}; all seven emotions are needed")
            folder = " or ".join(repr(f"{root}{split}/{name}") for name in named)
            raise UserError(f"{path}: no images in class folder {folder}; expected are {', '.join(layout.classes)}")
    if layout.valid_share and any(place.split == "valid" for place in places.values()):
        raise UserError(
            f"{path}: has a valid, and data.layout.valid_share={layout.valid_share} would draw another; make it 0"
        )
    if layout.valid_share and others:
        raise UserError(
            f"{path}: has {there} beside train, and data.layout.valid_share={layout.valid_share} would draw a valid; "
            "say in data.layout.splits what that is, or take it away"
        )


def _with_valid(places: Mapping[str, Place], layout: Layout, path: str) -> dict[str, Place]:
    """Of each emotion's images in train the share that becomes valid, at least one: which ones, their hash decides."""
    train: dict[int, list[str]] = {}
    for id, place in places.items():
        if place.split == "train":
            train.setdefault(place.label, []).append(id)
    drawn = {}
    for label, ids in train.items():
        count = max(round(layout.valid_share * len(ids)), 1)
        if count == len(ids):
            raise UserError(
                f"{path}: of {LABELS[label]}, {len(ids)} in train, nothing would be left there; add images, or lower "
                "data.layout.valid_share"
            )
        drawn |= {id: Place("valid", label) for id in by_hash(ids, layout.valid_seed)[:count]}
    return dict(places) | drawn


def by_hash(ids: Iterable[str], seed: int) -> list[str]:
    """Ids in an order that depends on each one's hash with `seed` alone: the first so many are a draw from them."""
    return sorted(ids, key=lambda id: hashlib.sha256(f"{seed}:{id}".encode()).digest())


def _refuse_undecodable(ids: Iterable[str], path: str) -> None:
    undecodable = next((id for id in ids if not is_text(id)), None)
    if undecodable:
        raise UserError(f"{path}: the name of {undecodable!r} is not valid UTF-8; rename the file")


def is_text(name: str) -> bool:
    """Whether a file's name is valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

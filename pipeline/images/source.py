"""Raw images where they lie: a folder or a .zip in the MMAFEDB layout, read in place and never changed.

The layout is `{train,valid,test}/{angry,disgust,fear,happy,neutral,sad,surprise}/<image>`, at the top of the folder or
zip or any number of folders below it. An image's id is its path from there, `"train/angry/x.jpg"`, so it is the same
for a folder and for the zip made of it.
"""

import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.images.listing import DAMAGED, files_in, walk, zip_entries
from pipeline.labels import FOLDERS, SPLITS
from pipeline.running.errors import UserError
from pipeline.running.files import exists

LAYOUT = f"{{{','.join(SPLITS)}}}/{{{','.join(sorted(FOLDERS))}}}/<images>"

CHANGED = "{path}: {id} has changed since it was looked at; run the same command again when nothing changes there"


def open_source(path: str | os.PathLike) -> "Source":
    """The images under `path`, a folder or a .zip. UserError names what is missing, refused or not in the layout."""
    where = Path(path)
    if not _is_text(str(path)):
        raise UserError(f"{str(path)!r}: not valid UTF-8; rename it")
    if not exists(path):
        raise UserError(f"{path}: no such folder or .zip; expected one that holds {LAYOUT}")
    if where.is_dir():
        files, folders = walk(where)
        source = FolderSource(str(path), _root_of(files, folders, str(path)))
    else:
        files, folders = zip_entries(where, LAYOUT)
        source = ZipSource(str(where), _root_of(files, folders, str(path)))
    source._listed = _ids_of(files, folders, source.root, str(path))
    return source


@dataclass
class Source:
    """The images of one data set; picklable, each process opens what it needs at its first read.

    path: the folder or zip as given. root: the folder inside it that holds train/, valid/ and test/ ("" or "a/b/").
    """

    path: str
    root: str

    _listed = None
    _zip = None

    def __getstate__(self) -> dict:
        return {"path": self.path, "root": self.root}

    def ids(self) -> list[str]:
        """Every image's id, sorted; images are files in a class folder, whatever their name ends in."""
        if self._listed is None:
            self._listed = open_source(self.path)._listed
        return self._listed

    def size(self, id: str) -> int:
        """Bytes of an image, without reading it. Raises OSError where it can't be read."""
        raise NotImplementedError

    def read(self, id: str) -> bytes:
        """The bytes of an image. Raises OSError where they can't be read."""
        raise NotImplementedError

    def links(self) -> list[str]:
        """The links to folders inside it that images lie behind, sorted; a zip has none."""
        return []

    def fingerprint(self) -> str:
        """SHA-256 hex over the ids and, without reading the images, over what tells that one was changed."""
        digest = hashlib.sha256()
        for id in self.ids():
            digest.update(f"{id}\0{self._version(id)}\n".encode())
        return digest.hexdigest()


class FolderSource(Source):
    """A folder."""

    def links(self) -> list[str]:
        """The links to folders inside it that images lie behind, sorted."""
        folders = {PurePosixPath(self.root + id.rpartition("/")[0]) for id in self.ids()}
        around = {each for folder in folders for each in (folder, *folder.parents) if each.name}
        return [str(path) for path in sorted(Path(self.path, each) for each in around) if path.is_symlink()]

    def size(self, id: str) -> int:
        found = self._file(id).stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe, which nobody may ever write to
            raise OSError(f"{self.path}: {id}: not a file")
        return found.st_size

    def read(self, id: str) -> bytes:
        self.size(id)
        return self._file(id).read_bytes()

    def _file(self, id: str) -> Path:
        return Path(self.path, self.root + id)

    def _version(self, id: str) -> str:
        try:
            found = self._file(id).stat()
        except OSError:  # a link that leads nowhere, which looking at it will say
            return "unreadable"
        return f"{found.st_size} {found.st_mtime_ns}"


class ZipSource(Source):
    """A .zip, read in place."""

    def size(self, id: str) -> int:
        return self._entry(id).file_size

    def read(self, id: str) -> bytes:
        entry = self._entry(id)
        try:
            return self._zip.read(entry)
        except DAMAGED as error:
            raise OSError(f"{self.path}: {id}: {error}") from error

    def _entry(self, id: str) -> zipfile.ZipInfo:
        try:
            if self._zip is None:
                self._zip = zipfile.ZipFile(self.path)
                self._entries = files_in(self._zip)
            return self._entries[self.root + id]
        except (FileNotFoundError, KeyError, NotImplementedError, *DAMAGED):  # it was whole when its ids were listed
            raise UserError(CHANGED.format(path=self.path, id=id)) from None
        except OSError as error:  # too many open files, a disk that fails
            raise UserError(f"{self.path}: can't be read ({error.strerror}); mend that and run again") from None

    def _version(self, id: str) -> str:
        entry = self._entry(id)
        return f"{entry.file_size} {entry.CRC}"


def split_of(id: str) -> str:
    """`"train"` of `"train/angry/x.jpg"`."""
    return id.split("/", 1)[0]


def folder_of(id: str) -> str:
    """`"angry"` of `"train/angry/x.jpg"`."""
    return id.split("/", 2)[1]


def _root_of(files: list[str], folders: set[str], path: str) -> str:
    """The folder that holds the splits: the one with most of them, of several the one nearest to the top."""
    splits = Counter(folder.rpartition("/")[0] for folder in folders if folder.rpartition("/")[2] in SPLITS)
    if not splits:
        if not files:
            raise UserError(f"{path}: empty; expected {LAYOUT}")
        raise UserError(f"{path}: no train/, valid/ and test/ in it or below it; expected {LAYOUT}")
    most = max(splits.values())
    nearest = min(root.count("/") + bool(root) for root, count in splits.items() if count == most)
    roots = [root for root, n in splits.items() if n == most and root.count("/") + bool(root) == nearest]
    if len(roots) > 1:
        first, second = sorted(roots)[:2]
        raise UserError(f"{path}: two data sets in it, {first!r} and {second!r}; give the path of one as source")
    if most == len(SPLITS):
        _refuse_incomplete(splits.keys() - roots, folders, roots[0], path)
    return roots[0] + "/" if roots[0] else ""


def _refuse_incomplete(others: Iterable[str], folders: set[str], root: str, path: str) -> None:
    """UserError for a data set without all splits that is no deeper than `root`: it may be the one that is meant."""
    for other in sorted(others):
        prefix = other + "/" if other else ""
        here = [split for split in SPLITS if any(f"{prefix}{split}/{folder}" in folders for folder in FOLDERS)]
        if here and prefix.count("/") <= root.count("/") + bool(root):
            missing = next(split for split in SPLITS if prefix + split not in folders)
            raise UserError(
                f"{path}: split {prefix + missing!r} is missing beside {prefix + here[0]!r}, and a whole data set lies "
                f"in {root!r}; rename a folder to the missing one, or make a source of the one that you mean alone"
            )


def _ids_of(files: list[str], folders: set[str], root: str, path: str) -> list[str]:
    """Ids of the images below `root`; UserError for a class that is unknown and for one or a split without images."""
    expected = f"the seven expected: {', '.join(sorted(FOLDERS))}"
    below = sorted(folder[len(root) :] for folder in folders if folder.startswith(root))
    for folder in below:
        parts = folder.split("/")
        if len(parts) == 2 and parts[0] in SPLITS and parts[1] not in FOLDERS:
            raise UserError(f"{path}: unknown class folder {root + folder!r}; {expected}; rename or remove it")
    ids = sorted(file[len(root) :] for file in files if file.startswith(root))
    ids = [id for id in ids if split_of(id) in SPLITS and id.count("/") >= 2]
    undecodable = next((id for id in ids if not _is_text(id)), None)
    if undecodable:
        raise UserError(f"{path}: the name of {undecodable!r} is not valid UTF-8; rename the file")
    found = Counter(tuple(id.split("/", 2)[:2]) for id in ids)
    for split in SPLITS:
        missing = [folder for folder in sorted(FOLDERS) if not found[split, folder]]
        if len(missing) == len(FOLDERS):
            raise UserError(f"{path}: split {root + split!r} is missing or empty; expected {LAYOUT}")
        if missing:
            raise UserError(f"{path}: no images in class folder {f'{root}{split}/{missing[0]}'!r}; {expected}")
    return ids


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

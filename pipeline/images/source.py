"""Raw images where they lie: a folder or a .zip in the MMAFEDB layout, read in place and never changed.

The layout is `{train,valid,test}/{angry,disgust,fear,happy,neutral,sad,surprise}/<image>`, at the top of the folder or
zip or any number of folders below it. An image's id is its path from there, `"train/angry/x.jpg"`, so it is the same
for a folder and for the zip made of it.
"""

import hashlib
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from pipeline.images.left import is_left
from pipeline.labels import FOLDERS, SPLITS
from pipeline.running.errors import UserError
from pipeline.running.files import exists

LAYOUT = f"{{{','.join(SPLITS)}}}/{{{','.join(sorted(FOLDERS))}}}/<images>"

CHANGED = "{path}: {id} has changed since it was looked at; run the same command again when nothing changes there"

# What reading an entry may raise; ValueError: its name is not text, or it would lie where no file can reach.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


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
        source = ZipSource(str(path), _root_of(files, folders, str(path)))
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
        except (OSError, KeyError, NotImplementedError, *DAMAGED):  # it was there and whole when its ids were listed
            raise UserError(CHANGED.format(path=self.path, id=id)) from None

    def _version(self, id: str) -> str:
        entry = self._entry(id)
        return f"{entry.file_size} {entry.CRC}"


def split_of(id: str) -> str:
    """`"train"` of `"train/angry/x.jpg"`."""
    return id.split("/", 1)[0]


def folder_of(id: str) -> str:
    """`"angry"` of `"train/angry/x.jpg"`."""
    return id.split("/", 2)[1]


def walk(where: Path) -> tuple[list[str], set[str]]:
    """Files and folders below `where`, as POSIX paths relative to it, without links to folders that they lie in."""
    files, folders = [], set()
    above = {os.fspath(where): frozenset()}  # of each folder that is still to be walked
    for folder, below, names in os.walk(where, followlinks=True, onerror=_refuse_unreadable):
        here = above.pop(folder) | {_identity(folder)}
        below[:] = sorted(
            name for name in below if not _is_beside(name) and _identity(os.path.join(folder, name)) not in here
        )
        above.update((os.path.join(folder, name), here) for name in below)
        relative = Path(folder).relative_to(where).as_posix()
        prefix = "" if relative == "." else relative + "/"
        folders.update(prefix + name for name in below)
        files += [prefix + name for name in names if not _is_beside(name)]
    return files, folders


def _identity(folder: str) -> tuple[int, int]:
    """The same for all names of a folder."""
    try:
        found = os.stat(folder)
    except OSError as error:
        _refuse_unreadable(error)
    return found.st_dev, found.st_ino


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: the folder can't be read ({error.strerror}); grant access to it")


def files_in(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries of an open zip that are files, by the names that `zip_entries` gives them."""
    return {str(_path_of(entry)): entry for entry in opened.infolist() if not _is_folder(entry)}


def zip_entries(where: Path, layout: str) -> tuple[list[str], set[str]]:
    """Files and folders of a zip of `layout`, after refusing what it has no need of: links, paths that lead out.

    They are named as those of a folder are: `./a//b.jpg`, and `a\\b.jpg` as some tools on Windows write it, is a/b.jpg.
    """
    try:
        with zipfile.ZipFile(where) as opened:
            entries = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise UserError(f"{where}: no readable zip ({error}); expected a folder or a .zip of {layout}") from None
    except OSError as error:
        raise UserError(f"{where}: can't be read ({error.strerror}); grant access to it") from None
    files, folders = [], set()
    for entry in entries:
        path = _path_of(entry)
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):
            raise UserError(f"{where}: entry {entry.filename!r} leads out of the zip; make the zip anew without it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{where}: entry {entry.filename!r} is a link; make the zip anew with the file itself")
        if any(_is_beside(part) for part in path.parts):
            continue
        if entry.flag_bits & 0x1:
            raise UserError(f"{where}: entry {entry.filename!r} is encrypted; make the zip anew without a password")
        parents = path.parents if not _is_folder(entry) else (path, *path.parents)
        folders.update(str(parent) for parent in parents if str(parent) != ".")
        if not _is_folder(entry):
            files.append(str(path))
    twice = next((name for name, times in Counter(files).items() if times > 1), None)
    if twice:
        raise UserError(f"{where}: entry {twice!r} stands in it twice; make the zip anew with one of them")
    return files, folders


def _path_of(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename
    if not entry.flag_bits & 0x800:  # read as the DOS code page, and macOS writes UTF-8 without saying so
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return PurePosixPath(name.replace("\\", "/"))


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(("/", "\\"))


def _is_beside(name: str) -> bool:
    return name.startswith(".") or is_left(name)


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

"""Raw images where they lie: a folder or a .zip, read in place and never changed.

An image's id is its path from the folder that holds the data set, `"train/angry/x.jpg"`, so it is the same for a folder
and for the zip made of it. `layout` has what such folders are called.
"""

import hashlib
import os
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.images.layout import Layout, Place, is_text, labelled, placed
from pipeline.images.listing import DAMAGED, files_in, walk, zip_entries
from pipeline.running.errors import UserError
from pipeline.running.files import exists

CHANGED = "{path}: {id} has changed since it was looked at; run the same command again when nothing changes there"


def open_source(path: str | os.PathLike, layout: Layout) -> "Source":
    """The images under `path`, a folder or a .zip. UserError names what is missing, refused or not in the layout."""
    files, folders = _listed(path, str(layout))
    return _source(path, *placed(files, folders, layout, str(path)))


def open_labelled(path: str | os.PathLike, layout: Layout, split: str) -> "Source":
    """Likewise the images that lie in class folders, in splits or not: those of `split` where there are splits."""
    files, _ = _listed(path, layout.of_classes)
    return _source(path, *labelled(files, layout, split, str(path)))


def _listed(path: str | os.PathLike, expected: str) -> tuple[list[str], set[str]]:
    if not is_text(str(path)):
        raise UserError(f"{str(path)!r}: not valid UTF-8; rename it")
    if not exists(path):
        raise UserError(f"{path}: no such folder or .zip; expected one that holds {expected}")
    return walk(Path(path)) if Path(path).is_dir() else zip_entries(Path(path), expected)


def _source(path: str | os.PathLike, root: str, places: dict[str, Place]) -> "Source":
    return FolderSource(str(path), root, places) if Path(path).is_dir() else ZipSource(str(Path(path)), root, places)


@dataclass
class Source:
    """The images of one data set; another process gets a copy that reads them and has no list of them.

    path: the folder or zip as given. root: the folder inside it that holds the splits ("" or "a/b/"). places: every
    image's split and label by its id, sorted; images are files in a class folder, whatever their name.
    """

    path: str
    root: str
    places: dict[str, Place] = field(repr=False)

    _zip = None

    def __getstate__(self) -> dict:
        return {"path": self.path, "root": self.root}

    def ids(self) -> list[str]:
        """Every image's id, sorted."""
        return list(self.places)

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

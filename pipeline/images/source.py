"""Raw images where they lie: a folder, a .zip or a .csv of pixels, read in place and never changed.

An image's id is its path from the folder that holds the data set, `"train/angry/x.jpg"`, so it is the same for a folder
and for the zip made of it. `layout` has what such folders are called, `pixels` what stands for them in a .csv.
"""

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from pipeline.images.layout import Layout, Place, is_text, labelled, placed
from pipeline.images.listing import DAMAGED, files_in, walk, zip_entries
from pipeline.images.pixels import Line, lines_of, png
from pipeline.running.errors import UserError
from pipeline.running.files import exists

CHANGED = "{path}: {id} has changed since it was looked at; run the same command again when nothing changes there"


def open_source(path: str | os.PathLike, layout: Layout) -> "Source":
    """The images of a folder, .zip or .csv. UserError names what is missing, refused or not in the layout."""
    made, files, folders = _listed(path, str(layout))
    return made(str(Path(path)), *placed(files, folders, layout, str(path)))


def open_labelled(path: str | os.PathLike, layout: Layout, split: str) -> "Source":
    """Likewise the images that lie in class folders, in splits or not: those of `split` where there are splits."""
    made, files, _ = _listed(path, layout.of_classes)
    return made(str(Path(path)), *labelled(files, layout, split, str(path)))


def _listed(path: str | os.PathLike, expected: str) -> tuple[Callable[..., "Source"], Iterable[str], set[str]]:
    """The kind of source that `path` is, and the files and folders in it."""
    where = Path(path)
    if not is_text(str(path)):
        raise UserError(f"{str(path)!r}: not valid UTF-8; rename it")
    if not exists(path):
        raise UserError(f"{path}: no such folder, .zip or .csv; expected one that holds {expected}")
    if where.is_dir():
        return FolderSource, *walk(where)
    if where.suffix.lower() == ".csv":
        lines = lines_of(where)
        folders = {str(folder) for id in lines for folder in PurePosixPath(id).parents if folder.name}
        return partial(CsvSource, lines=lines), lines, folders
    return ZipSource, *zip_entries(where, expected)


@dataclass
class Source:
    """The images of one data set; another process gets a copy that reads them and has no list of them.

    path: the folder or file as given. root: the folder inside it that holds the splits ("" or "a/b/"). places: every
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
        """The links to folders inside it that images lie behind, sorted; a file has none."""
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


@dataclass
class CsvSource(Source):
    """A .csv of pixels. lines: where in it each image is, which another process is told."""

    lines: dict[str, Line] = field(repr=False)

    def __getstate__(self) -> dict:
        return super().__getstate__() | {"lines": self.lines}

    def size(self, id: str) -> int:
        return self._line(id).length

    def read(self, id: str) -> bytes:
        try:
            return png(Path(self.path), self._line(id))
        except OSError as error:
            raise OSError(f"{self.path}: {id}: {error}") from error

    def _line(self, id: str) -> Line:
        return self.lines[self.root + id]

    def _version(self, id: str) -> str:
        return str(self._line(id))

    def fingerprint(self) -> str:
        """SHA-256 hex over the ids and, without reading the pixels, over what tells that the file was changed."""
        found = Path(self.path).stat()
        return hashlib.sha256(f"{super().fingerprint()} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()

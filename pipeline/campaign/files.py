"""The files of a campaign where they lie: a folder, a .zip or a single file, read in place and never changed."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from unicodedata import category

from pipeline.campaign.faults import Fault
from pipeline.campaign.video import FORMATS as VIDEO_FORMATS
from pipeline.campaign.video import is_video
from pipeline.images.decode import sniff
from pipeline.images.listing import DAMAGED, files_in, walk, zip_entries
from pipeline.running.errors import UserError
from pipeline.running.files import exists, named_disk_errors
from pipeline.serving.pictures import FORMATS, HEAD, Unreadable, by_name, too_large

PICTURES, VIDEOS = ", ".join(FORMATS), ", ".join(VIDEO_FORMATS)
WANTED = f"pictures ({PICTURES}) and videos ({VIDEOS})"
_JOINERS = "\u200c\u200d"


class Files:
    """Files by name, which is the path below the folder or in the zip, sorted; a single file's is its own."""

    def __init__(self, names: list[str], largest_video: int):
        self.names, self.largest_video = sorted(names), largest_video

    def open(self, name: str) -> BinaryIO:
        """The file, open at its start. OSError where it can't be read."""
        raise NotImplementedError

    def size(self, name: str) -> int:
        """Bytes of the file, without reading it. OSError where it can't be looked at."""
        raise NotImplementedError

    def kind(self, name: str) -> str:
        """What a file is by its content, "picture" or "video"; a fault for all else and for what can't be read."""
        with self.readable(name) as file:
            head = file.read(HEAD)
        if not head:
            raise Unreadable("zero_bytes")
        if sniff(head) in FORMATS:
            return "picture"
        if is_video(head):
            return "video"
        raise Fault(by_name(head) or f"This is neither a picture ({PICTURES}) nor a video ({VIDEOS}) that can be read.")

    def picture(self, name: str, most: int) -> bytes:
        """The bytes of a picture file of at most so many; Unreadable for more, Fault where they can't be read."""
        with self.readable(name) as file:
            data = file.read(most + 1)
            if len(data) > most:
                raise too_large(self.size(name), most)
        return data

    @contextmanager
    def video(self, name: str) -> Iterator[BinaryIO]:
        """A video file in which one can go back and forth."""
        with self.readable(name) as file:
            yield file

    @contextmanager
    def readable(self, name: str) -> Iterator[BinaryIO]:
        """The open file; a Fault where it can't be read, at its opening or later."""
        try:
            with self.open(name) as file:
                yield file
        except (OSError, *DAMAGED) as error:
            raise Fault(f"The file can't be read ({getattr(error, 'strerror', None) or error}).") from None


class InFolder(Files):
    """Files of a folder."""

    def __init__(self, folder: Path, names: list[str], largest_video: int):
        super().__init__(names, largest_video)
        self.folder = folder

    def open(self, name: str) -> BinaryIO:
        path = self.folder / name
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise OSError("it is no ordinary file")
        return path.open("rb")

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size


class InZip(Files):
    """Files of a .zip."""

    def __init__(self, path: Path, names: list[str], largest_video: int):
        super().__init__(names, largest_video)
        self.zip = zipfile.ZipFile(path)
        self.entries = files_in(self.zip)

    def open(self, name: str) -> BinaryIO:
        return self.zip.open(self.entries[name])

    def size(self, name: str) -> int:
        return self.entries[name].file_size

    @contextmanager
    def video(self, name: str) -> Iterator[BinaryIO]:
        if self.size(name) > self.largest_video:
            advice = "one of over {} is read from a folder only: unpack the zip and give its folder"
            raise too_large(self.size(name), self.largest_video, advice)
        with tempfile.TemporaryFile() as unpacked, self.readable(name) as file:
            with named_disk_errors(f"{tempfile.gettempdir()}, to unpack {shown(name)} (TMPDIR names another place)"):
                shutil.copyfileobj(file, unpacked, 1 << 20)
            unpacked.seek(0)
            yield unpacked


def open_files(where: Path, largest_video: int) -> Files:
    """What lies under a folder, in a .zip or is one file; UserError when it is missing or there is nothing in it."""
    if not exists(where):
        raise UserError(f"{where}: not there; expected a folder or a .zip of {WANTED}, or one of them")
    if where.is_dir():
        files = InFolder(where, walk(where)[0], largest_video)
    elif _is_zip(where):
        files = InZip(where, zip_entries(where, WANTED)[0], largest_video)
    else:
        files = InFolder(where.parent, [where.name], largest_video)
    if not files.names:
        raise UserError(f"{where}: no file in it; expected {WANTED}")
    return files


def _is_zip(where: Path) -> bool:
    if where.suffix.lower() == ".zip":
        return True
    try:
        with where.open("rb") as file:
            return file.read(4) == b"PK\3\4"
    except OSError as error:
        raise UserError(f"{where}: can't be read ({error.strerror}); grant access to it") from None


def shown(name: str) -> str:
    """A file's name as it stands in tables: what is not text or could not be seen is written as an escape.

    Spaces of any width stay, as in the names of screenshots, and what joins or parts letters in Persian and in emoji.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(
        c if c.isprintable() or category(c) == "Zs" or c in _JOINERS else c.encode("unicode_escape").decode()
        for c in text
    )

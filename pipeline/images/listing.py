"""The files in a folder or a .zip, named alike: POSIX paths from its top, without what systems leave there unasked."""

import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NoReturn

from pipeline.images.left import is_left
from pipeline.running.errors import UserError

# What reading an entry may raise; ValueError: its name is not text, or it would lie where no file can reach.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


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

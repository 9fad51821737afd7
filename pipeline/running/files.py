"""Files and folders that are whole or absent: written beside their place, flushed to disk, then renamed into it.

And a lock between processes.
"""

import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pipeline.images.left import is_left
from pipeline.running.errors import UserError
from pipeline.running.signals import undivided

log = logging.getLogger(__name__)

# Errors of the system for a place where nothing can be written, and words for those whose own say little.
NO_PLACE = {
    errno.EACCES: "",
    errno.EPERM: "",
    errno.EROFS: "",
    errno.ENOENT: "",
    errno.ENAMETOOLONG: "",
    errno.ENOTDIR: "a file is where a folder has to be",
    errno.EEXIST: "a file is where a folder has to be",
    errno.EOPNOTSUPP: "its file system has no locks",
    errno.ENOLCK: "its file system has no locks",
}


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it replaces `path`, on an error nothing is left.

    The suffix is kept, since many writers choose their format by it. Raises UserError when the disk is full
    or `path` is a folder or in a place that cannot be written.
    """
    path = Path(path)
    with _named_place_errors(path):
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_the_dead(path.parent, path.stem, path.suffix)
        beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        beside.unlink(missing_ok=True)  # of a killed process that had the same id; and tells a name that is too long
    try:
        with named_disk_errors(path):
            yield beside
            _fsync(beside)
            os.replace(beside, path)
            _fsync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike, mark: str = "") -> Iterator[Path]:
    """Yield a new empty folder beside `path` to fill; on success it replaces `path`, on an error nothing is left.

    `mark` is a file that every such folder has: what lacks it is somebody's own and refused, as by `check_place`. Where
    `path` is a link to a folder, as to one on a larger disk, it stays one and that folder is replaced.
    """
    given, path = path, Path(os.path.realpath(path))
    if mark:
        check_place(given, mark)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    exchange = path.with_name(f".{path.name}.lock")  # held while it is, since two commands may end at once
    with _named_place_errors(given):
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_the_dead(path.parent, path.name, ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    try:
        with locked(exchange):
            if not path.exists() and (old := _of_the_dead(path.parent, path.name, ".old")):
                os.rename(old[0], path)  # killed between the two renames below: what was there before is still there
            _forget_the_dead(path.parent, path.name, ".old")
        with named_disk_errors(given):
            yield beside
            for entry in (*beside.rglob("*"), beside):
                _fsync(entry)
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            shutil.rmtree(old, ignore_errors=True)  # of a killed process that had the same id, as in a container
            with locked(exchange), undivided():  # Ctrl-C between the two would leave neither there
                if path.exists():
                    os.rename(path, old)
                try:
                    os.rename(beside, path)
                except BaseException:
                    if old.exists():
                        os.rename(old, path)
                    raise
            _fsync(path.parent)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def exists(path: str | os.PathLike) -> bool:
    """Whether something is at `path`; UserError where that can't be told."""
    try:
        return Path(path).exists()
    except OSError as error:  # a name that is too long, a folder around it without access
        raise UserError(f"{path}: can't be read ({error.strerror}); grant access to it, or mend the path") from None


def refuse_inside(out: Path, source: Path) -> None:
    """UserError for an output folder `out` in the folder `source`, which is read and never changed."""
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(f"out={out}: lies in the source {source}; name another folder")


def check_place(path: str | os.PathLike, mark: str, only: Set[str] | None = None) -> None:
    """Look at an output folder before long work; UserError when it can't be written, or would take something with it.

    That is a folder which isn't empty and lacks the file `mark`, or has one that isn't among `only`: it is somebody's
    own. It is also the current folder, and one around it. Files that systems leave in a folder by themselves don't
    count; DVC, which removes single outputs, leaves them too.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    if place in (Path.cwd(), *Path.cwd().parents):
        raise UserError(f"{path}: the folder that this command is given in, or one around it; name another one")
    if os.path.ismount(place):
        raise UserError(f"{path}: a disk is mounted there, and folders are replaced whole; mount the folder around it")
    with _named_place_errors(path):
        if place.is_file():
            raise UserError(f"{path}: is a file; name a folder")
        names = {entry.name for entry in place.iterdir() if not is_left(entry.name)} if place.is_dir() else set()
        if names and mark not in names:
            raise UserError(f"{path}: holds something else than this writes (no {mark}); empty it or name another")
        if only is not None and (other := sorted(names - only)):
            raise UserError(f"{path}: holds something else than this writes ({other[0]}); empty it or name another")
        tempfile.TemporaryFile(dir=next(parent for parent in place.parents if parent.exists())).close()


@contextmanager
def locked(path: Path, waiting: str | None = "") -> Iterator[None]:
    """Hold the lock file `path` against other processes; it is made, and goes when the block ends.

    Logs `waiting` while another process has it; where `waiting` is None, BlockingIOError is raised instead.
    """
    with _lock(path, waiting):
        try:
            yield
        finally:
            with suppress(OSError):  # a folder in which nothing may be removed
                path.unlink()


def _lock(path: Path, waiting: str | None) -> IO:
    """The lock file, open and locked; closing it lets go of it."""
    while True:
        with _named_place_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a", encoding="utf-8")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    file.close()
                    raise
                if waiting:
                    log.info(waiting)
                fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # of one that has been removed meanwhile, which holds off nobody


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused: JSON has neither."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _forget_the_dead(parent: Path, name: str, suffix: str) -> None:
    for left in _of_the_dead(parent, name, suffix):
        with suppress(OSError):  # another command removes the same, or it may not be removed, and does no harm
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _of_the_dead(parent: Path, name: str, suffix: str) -> list[Path]:
    """What processes that were killed while they wrote `name` left beside it."""
    found = []
    for left in parent.glob(f".{glob.escape(name)}.*{glob.escape(suffix)}"):
        pid = left.name.removeprefix(f".{name}.").removesuffix(suffix)
        if pid.isdecimal() and not alive(int(pid)):
            found.append(left)
    return found


def alive(pid: int) -> bool:
    """Whether there is a process of that number, whoever's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named_place_errors(path: str | os.PathLike) -> Iterator[None]:
    try:
        with named_disk_errors(path):
            yield
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        what = NO_PLACE[error.errno] or error.strerror
        raise UserError(f"{path}: cannot be written ({what}); make that possible or name another place") from error


@contextmanager
def named_disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Make a disk that is full a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        # numpy.save raises an error of its own, without a number, and so does shutil.copytree, with the words
        full = (errno.ENOSPC, errno.EDQUOT)
        numpys = re.fullmatch(r"\d+ requested and \d+ written", str(error))
        if error.errno in full or numpys or any(os.strerror(number) in str(error) for number in full):
            raise UserError(
                f"{path}: the disk is full; free some space and run again, earlier outputs are intact"
            ) from error
        raise


def sha256(path: Path) -> str:
    """SHA-256 in hex of a file's bytes, whatever its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

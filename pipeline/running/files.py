"""Files and folders that are whole or absent: written beside their place, flushed to disk, then renamed into it.

And reading them: one that is missing all the same, or that a disk or a copy has cut off, is told with what makes it.
"""

import errno
import glob
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.running.errors import UserError


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it replaces `path`, on an error nothing is left.

    The suffix is kept, since many writers choose their format by it. Raises UserError when the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _forget_the_dead(path.parent, path.stem, path.suffix)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with _named_disk_errors(path):
            yield beside
            _fsync(beside)
            os.replace(beside, path)
            _fsync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a new empty folder beside `path` to fill; on success it replaces `path`, on an error nothing is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _forget_the_dead(path.parent, path.name, ".partial")
    _forget_the_dead(path.parent, path.name, ".old")
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        with _named_disk_errors(path):
            yield beside
            for entry in (*beside.rglob("*"), beside):
                _fsync(entry)
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            shutil.rmtree(old, ignore_errors=True)  # of a killed process that had the same id, as in a container
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


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused: JSON has neither."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _forget_the_dead(parent: Path, name: str, suffix: str) -> None:
    """Remove what processes that were killed while they wrote `name` left beside it."""
    for left in parent.glob(f".{glob.escape(name)}.*{glob.escape(suffix)}"):
        pid = left.name.removeprefix(f".{name}.").removesuffix(suffix)
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
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
def _named_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # numpy.save raises an error of its own, without a number
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or re.fullmatch(r"\d+ requested and \d+ written", str(error)):
            raise UserError(
                f"{path}: the disk is full; free some space and run again, earlier outputs are intact"
            ) from error
        raise


def sha256(path: Path) -> str:
    """SHA-256 in hex of a file's bytes, whatever its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def readable(path: str | os.PathLike, again: str) -> Iterator[None]:
    """Make a file that the block reads and that is missing or damaged a UserError; `again` says what makes it anew."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: not there; {again}") from None
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it was cut off or is damaged"
        raise UserError(f"{path}: cannot be read, {reason}; {again}") from error


def read_json(path: str | os.PathLike, again: str) -> dict[str, Any]:
    """The object in a JSON file; UserError, with what makes it `again`, when it is missing or cut off."""
    with readable(path, again):
        return json.loads(Path(path).read_text())


def read_table(path: str | os.PathLike, again: str, **options: Any) -> pd.DataFrame:
    """A .csv or .parquet file, read with pandas's `options`; UserError, with what makes it `again`, when it can't be.

    A CSV that was cut off in the middle of a row is still one, but for the end of its last line.
    """
    with readable(path, again):
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(path, **options)
        content = Path(path).read_bytes()
        if not content.endswith(b"\n"):
            raise ValueError("the last line has no end")
        return pd.read_csv(io.BytesIO(content), **options)


def read_array(path: str | os.PathLike, again: str) -> np.ndarray:
    """A .npy file, memory-mapped; UserError, with what makes it `again`, when it is missing or cut off."""
    with readable(path, again):
        return np.load(path, mmap_mode="r")

"""Reading what an earlier step wrote: of a file that is missing or was cut off, one line says what makes it again."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.running.errors import UserError


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
        return json.loads(Path(path).read_text(encoding="utf-8"))


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

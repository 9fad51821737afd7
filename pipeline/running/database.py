"""MLflow's database on this machine: sound, writable, and of the folder that it lies in."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from pipeline.running.errors import UserError
from pipeline.running.files import named_disk_errors, whole_file
from pipeline.running.signals import undivided

log = logging.getLogger(__name__)

SQLITE_WAIT = 60  # seconds to wait for another process's write; SQLite's own default gives up after five

# What SQLite and MLflow say of a database that cannot be used now, and what is to be said of it
FAULTS = {
    "disk is full": "the disk is full; make room and run the same command again",
    "database is locked": "another process holds it; end that and run the same command again",
    "out-of-date database schema": "another version of MLflow made it; use that one, or keep a copy of the file and "
    "run: mlflow db upgrade sqlite:///<the file>",
    **dict.fromkeys(
        ("OperationalError) table", "duplicate column name"),
        "MLflow was ended while it made or upgraded it; restore a copy, or move it away if it has no runs yet",
    ),
}

# Where MLflow's database holds the place of a file, as table and column.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def check(database: Path) -> None:
    """Raise UserError unless `database` is absent, or an SQLite file this process can write."""
    if not database.exists():
        if not os.access(database.parent, os.W_OK):
            raise UserError(f"{database.parent}: cannot be written; runs are tracked there, make it writable")
        return
    # The mode is looked at as well, because root may write whatever it says.
    if not os.access(database, os.W_OK) or not database.stat().st_mode & 0o222:
        raise UserError(f"{database}: is read-only; runs are tracked there, make it writable (chmod u+w)")
    try:
        with closing(sqlite3.connect(database, timeout=SQLITE_WAIT)) as connection:
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:  # sound for all one knows: another process has it
        raise UserError(f"{database}: cannot be used now ({error}); end what holds it and run again") from None
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise UserError(f"{database}: is not a sound SQLite database ({verdict}); move it away or restore a copy")


def make(database: Path) -> None:
    """Have MLflow make `database` where there is none, whole or not at all, with the store's lock held.

    It takes MLflow seconds, in many steps. Killed among them it would leave a file that SQLite calls sound and MLflow
    can neither use nor mend.
    """
    if database.exists():
        return
    for left in database.parent.glob(f".{database.stem}.*-journal"):  # of one that was killed
        left.unlink()
    with whole_file(database) as beside:
        MlflowClient(tracking_uri=uri(beside)).search_experiments()


def uri(database: Path) -> str:
    """What MLflow calls the file `database`."""
    escaped = str(database).replace("%", "%25").replace("?", "%3F")  # the rest SQLAlchemy takes as it is
    return f"sqlite:///{escaped}?timeout={SQLITE_WAIT}"


@contextmanager
def kept(database: Path) -> Iterator[None]:
    """Around what is asked of `database`: it is not left in the middle of a change. UserError when it can't be used."""
    try:
        with named_disk_errors(database), undivided():
            yield
    except (MlflowException, SQLAlchemyError, sqlite3.OperationalError) as error:
        said = " ".join(str(error).split())
        for sign, words in FAULTS.items():
            if sign in said:
                raise UserError(f"{database}: {words}") from error
        raise


def bring_along(folder: Path) -> None:
    """Make the places of runs' files in `folder`/mlflow.db ones in `folder`, when it was moved or is a copy.

    MLflow notes absolute places: the files of a moved store would be taken for absent, and a copy would write into the
    original. A database that was moved without its files keeps the places where they are.
    """
    here = f"{(folder / 'artifacts').as_uri()}/"
    if not (folder / "mlflow.db").exists():
        return
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=SQLITE_WAIT)) as database, database:
        try:
            places = [place for (place,) in database.execute("select artifact_location from experiments")]
        except sqlite3.OperationalError:  # MLflow has made no table yet
            return
        for there in {match[0] for place in places if (match := re.match("file:.*/artifacts/(?=[^/]+$)", place))}:
            left = Path(unquote(urlsplit(there).path))
            if there == here or (left.exists() and not (folder / "artifacts").exists()):
                continue
            for table, column in PLACES:
                database.execute(
                    f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                    [here, len(there) + 1, len(there), there],
                )
            log.info("MLflow's runs in %s were made in %s; their files are looked for here now", folder, left)

"""What is asked of an MLflow server: how long it is waited for, and in which words it is said that it is away."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from pipeline.running.errors import UserError

log = logging.getLogger(__name__)

# What MLflow's client does when its server is away, unless the environment says otherwise. Its own defaults try for
# four minutes and more; here what could not be sent is kept, and sent later.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # the second in seconds

PAUSE = 15  # seconds between two tries to reach a server that is waited for


def once_it_answers(server: str, wait: float, ask: Callable[[], str]) -> str:
    """What `ask` gives; while the server, an address, does not answer it is asked again, for `wait` seconds."""
    for variable, value in PATIENCE.items():
        os.environ.setdefault(variable, value)
    until = time.monotonic() + wait
    while True:
        try:
            with answering(server):
                return ask()
        except UserError as error:
            if not isinstance(error.__cause__, MlflowException) or time.monotonic() >= until:
                raise
            log.warning("%s; trying again in %g s, for %.0f s more", error, PAUSE, until - time.monotonic())
            time.sleep(PAUSE)


@contextmanager
def answering(server: str) -> Iterator[None]:
    """Around what is asked of the server: one that gives no answer is a UserError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"MLflow server {server} (MLFLOW_TRACKING_URI) cannot be used: {reason(error)}; "
            "start it and run the same command again"
        ) from error


def address(server: str) -> str:
    """A server's address without the user and password that it may hold."""
    parts = urlsplit(server)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def reason(error: Exception) -> str:
    """Why a server gave no answer, in a few words out of the many that its client says."""
    text = " ".join(str(error).split()) or type(error).__name__
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out)|too many (\d+) error responses", text)
    return next(filter(None, found.groups()), text) if found else text[:300]

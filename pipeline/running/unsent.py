"""What an MLflow server is told of a run, on disk before it is sent: a server that is away ends no training.

An entry can be sent twice without harm: a metric carries the time it was measured at, by which MLflow knows a point it
has already, and all else is set, not added. So neither a lost answer nor a kill before it is forgotten doubles any.
"""

import json
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlflow.entities import Metric, RunTag
from mlflow.tracking import MlflowClient

from pipeline.running.errors import UserError
from pipeline.running.files import locked, whole_file, whole_folder
from pipeline.running.mlflow_server import reason

log = logging.getLogger(__name__)

PAUSE = 10  # a server found away after t seconds is asked again PAUSE * t seconds later: a tenth of the time at most


class Unsent:
    """The entries that wait for the server `address`, `folder`/<server>/<run>/<time>, sent oldest first."""

    def __init__(self, folder: Path, client: MlflowClient, address: str):
        self.client = client
        self.address = address
        self.folder = folder / quote(address, safe="")
        self.away = False
        self.ask_again = 0.0

    def tell(self, run_id: str, entry: Mapping[str, Any]) -> None:
        """Keep an entry, as `send` takes it, and send what can be sent of the run."""
        with locked(self.folder / ".lock"), whole_file(self._new(run_id, ".json")) as beside:
            beside.write_text(json.dumps(entry))
        self.try_to_send(run_id, at_once="end" in entry)

    def tell_files(self, run_id: str, source: Path, into: str) -> None:
        """The same for a copy of the folder `source`, which is not waited for: the next run may replace it."""
        with locked(self.folder / ".lock"), whole_folder(self._new(run_id, "")) as beside:
            shutil.copytree(source, beside / into)
        self.try_to_send(run_id)

    def try_to_send(self, run_id: str, at_once: bool = False) -> None:
        """Send what waits of a run; if the server is away, say so and go on. `at_once` asks it whatever the pause."""
        started = time.monotonic()
        if started < self.ask_again and not at_once:
            return
        try:
            self._send_run(run_id)
        except Exception as error:  # an object store's client, which takes the files, has errors of its own
            self.ask_again = time.monotonic() + PAUSE * (time.monotonic() - started)
            if at_once or not self.away:
                log.warning(
                    "MLflow server %s: %s; what it was to be told waits in %s and is sent later, at the latest by "
                    "the next command that uses it",
                    self.address, reason(error), self.folder / run_id,
                )  # fmt: skip
            self.away = True
        else:
            if self.away:
                log.info("MLflow server %s: answers again, and has been told what waited", self.address)
            self.away = False

    def send_all(self) -> None:
        """Send what waits of every run, those of processes that are gone as well; UserError when that fails."""
        for folder in sorted(self.folder.glob("*/")):
            log.info("MLflow server %s: sending what waits in %s", self.address, folder)
            try:
                self._send_run(folder.name)
            except Exception as error:
                raise UserError(
                    f"MLflow server {self.address} does not take what waits in {folder}: {reason(error)}; mend the "
                    "server and run the same command again, or delete that folder, which forgets it"
                ) from error

    def _new(self, run_id: str, suffix: str) -> Path:
        return self.folder / run_id / f"{time.time_ns()}{suffix}"

    def _waiting(self, run_id: str) -> list[Path]:
        return sorted(path for path in (self.folder / run_id).glob("*") if not path.name.startswith("."))

    def _send_run(self, run_id: str) -> None:
        waiting = f"MLflow server {self.address}: another command sends what waits in {self.folder / run_id}; waiting"
        with locked(self.folder / f".{run_id}.lock", waiting):  # two that send the same files trip over each other
            for path in self._waiting(run_id):
                if path.is_dir():
                    self.client.log_artifacts(run_id, str(path))
                    shutil.rmtree(path)
                else:
                    send(self.client, run_id, json.loads(path.read_text()))
                    path.unlink()
            with locked(self.folder / ".lock"):
                if not self._waiting(run_id):
                    shutil.rmtree(self.folder / run_id, ignore_errors=True)


def send(client: MlflowClient, run_id: str, entry: Mapping[str, Any]) -> None:
    """Tell MLflow an entry: `metrics`, each [key, value, milliseconds, step]; `tags`; `end`, [status, milliseconds]."""
    metrics = [Metric(*point) for point in entry.get("metrics", [])]
    tags = [RunTag(key, value) for key, value in entry.get("tags", {}).items()]
    if metrics or tags:
        client.log_batch(run_id, metrics=metrics, tags=tags)
    if "end" in entry:
        client.set_terminated(run_id, *entry["end"])

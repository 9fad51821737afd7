"""MLflow: the store, one experiment per data set, and the life of a run from RUNNING to FINISHED, FAILED or KILLED."""

import fcntl
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from pipeline.running.errors import UserError

log = logging.getLogger(__name__)

SQLITE_WAIT = 60  # seconds to wait for another process's write; SQLite's own default gives up after five


class Store:
    """An experiment in an MLflow store."""

    def __init__(self, client: MlflowClient, experiment_id: str):
        self.client = client
        self.experiment_id = experiment_id

    def finished(self, tags: Mapping[str, str]) -> list[Run]:
        """FINISHED runs that carry all of `tags`, newest first."""
        wanted = "".join(f" and tags.{key} = '{value}'" for key, value in tags.items())
        return self._search(f"status = 'FINISHED'{wanted}")

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start a run and return its id; the process is noted in it, so that its death can be told later."""
        run_id = self.client.create_run(self.experiment_id, run_name=name).info.run_id
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        self.tag(run_id, {**tags, **_process_tags()})
        return run_id

    def status(self, run_id: str) -> str | None:
        """RUNNING, FINISHED, FAILED or KILLED; None when the experiment has no such run."""
        return next((run.info.status for run in self._search("") if run.info.run_id == run_id), None)

    def resume(self, run_id: str) -> None:
        """Set a run that was cut off RUNNING again, under this process."""
        self.client.update_run(run_id, status="RUNNING")
        self.tag(run_id, _process_tags())

    def tag(self, run_id: str, tags: Mapping[str, Any]) -> None:
        self.client.log_batch(run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def log_dataset(self, run_id: str, name: str, digest: str, context: str) -> None:
        """Say which data a run used, as MLflow's list of runs shows it; `context` is training or validation."""
        dataset = Dataset(name=name, digest=digest[:8], source_type="local", source=json.dumps({"sha256": digest}))
        tag = InputTag(MLFLOW_DATASET_CONTEXT, context)
        self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[tag])])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        now = int(time.time() * 1000)
        self.client.log_batch(run_id, metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()])

    def log_history(self, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
        """Log the rows (a dict per epoch, `epoch` its step) that the run does not have yet."""
        logged = {point.step for point in self.client.get_metric_history(run_id, "val_accuracy")}
        for row in history:
            if row["epoch"] not in logged:
                self.log_epoch(run_id, row)

    def log_epoch(self, run_id: str, row: Mapping[str, float]) -> None:
        """Log one epoch: a dict of its figures, `epoch` its step."""
        self.log_metrics(run_id, {key: row[key] for key in row if key != "epoch"}, row["epoch"])

    def log_files(self, run_id: str, folder: str | Path, into: str) -> None:
        self.client.log_artifacts(run_id, str(folder), into)

    def end(self, run_id: str, status: str, error: str = "") -> None:
        """Close a run as FINISHED, FAILED or KILLED, with the one line that says why it failed."""
        if error:
            self.client.set_tag(run_id, "error", error[:5000])
        self.client.set_terminated(run_id, status)

    def reap(self) -> int:
        """Mark KILLED every RUNNING run whose process on this machine is gone; returns how many."""
        dead = [run for run in self._search("status = 'RUNNING'") if _is_dead(run.data.tags)]
        for run in dead:
            self.client.set_terminated(run.info.run_id, "KILLED")
        return len(dead)

    def _search(self, filter_string: str) -> list[Run]:
        runs, token = [], None
        while True:
            page = self.client.search_runs([self.experiment_id], filter_string, max_results=1000, page_token=token)
            runs += page
            if not (token := page.token):
                return runs


def open_store(folder: str | Path, experiment: str, create: bool) -> Store:
    """The experiment `experiment` in the store `folder`/mlflow.db; with `create` both are made when absent.

    Without it an absent experiment is a UserError that names those there are. The environment variable
    MLFLOW_TRACKING_URI, MLflow's own, names a server to use instead. Creating is serialised between processes: MLflow's
    migrations fail when several start on an empty database. Raises UserError, before any work is done, when the
    database is corrupt or cannot be written.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = Path(folder).resolve()
    server = os.environ.get("MLFLOW_TRACKING_URI")
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".lock"):
        if not server:
            _check(folder / "mlflow.db")
        client = MlflowClient(tracking_uri=server or f"sqlite:///{folder}/mlflow.db?timeout={SQLITE_WAIT}")
        found = client.get_experiment_by_name(experiment)
        if found and found.lifecycle_stage == "deleted":
            raise UserError(f"MLflow experiment {experiment!r} is deleted; restore it, or empty the store's trash")
        if not (found or create):
            known = ", ".join(sorted(each.name for each in client.search_experiments() if each.name != "Default"))
            raise UserError(f"MLflow has no experiment {experiment!r}; there are: {known or 'none, train first'}")
        location = None if server else (folder / "artifacts" / experiment).as_uri()
        # the kind makes MLflow's page open on runs and curves, not on its views for language models
        kind = {"mlflow.experimentKind": "custom_model_development"}
        experiment_id = found.experiment_id if found else client.create_experiment(experiment, location, kind)
    return Store(client, experiment_id)


def git_commit() -> str:
    """The commit of the working tree, with `+changes` when it differs from it; "unknown" outside a repository."""
    try:
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, stderr=subprocess.DEVNULL).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


@contextmanager
def running(store: Store, run_id: str) -> Iterator[None]:
    """End the run as what became of the block: FINISHED, KILLED on Ctrl-C or SIGTERM, FAILED on any other error."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        store.end(run_id, "KILLED")
        raise
    except BaseException as error:
        store.end(run_id, "FAILED", f"{type(error).__name__}: {error}")
        raise
    store.end(run_id, "FINISHED")


def _check(database: Path) -> None:
    """Raise UserError unless `database` is absent, or an SQLite file this process can write."""
    if not database.exists():
        if not os.access(database.parent, os.W_OK):
            raise UserError(f"{database.parent}: cannot be written; runs are tracked there, make it writable")
        return
    # The mode is looked at as well, because root may write whatever it says.
    if not os.access(database, os.W_OK) or not database.stat().st_mode & 0o222:
        raise UserError(f"{database}: is read-only; runs are tracked there, make it writable (chmod u+w)")
    try:
        connection = sqlite3.connect(database, timeout=SQLITE_WAIT)
        with connection:
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
        connection.close()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise UserError(f"{database}: is not a sound SQLite database ({verdict}); move it away or restore a copy")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _process_tags() -> dict[str, str]:
    return {"host": socket.gethostname(), "pid": str(os.getpid()), "pid_started": _started(os.getpid())}


def _is_dead(tags: Mapping[str, str]) -> bool:
    if tags.get("host") != socket.gethostname() or "pid" not in tags:
        return False
    return _started(int(tags["pid"])) != tags.get("pid_started")


def _started(pid: int) -> str:
    """When a process started, as the system counts it, so that a reused process id is not taken for it; "" if gone."""
    if not sys.platform.startswith("linux"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        return "alive"
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return ""

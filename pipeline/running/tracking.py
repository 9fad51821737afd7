"""MLflow: the store, one experiment per data set, and the life of a run from RUNNING to FINISHED, FAILED or KILLED."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from pipeline.running import database
from pipeline.running.config import CONF
from pipeline.running.errors import UserError
from pipeline.running.files import alive, locked
from pipeline.running.mlflow_server import address, answering, once_it_answers
from pipeline.running.unsent import Unsent, send

log = logging.getLogger(__name__)

# The tags that say what a training was of: FINISHED runs that agree in all of them are the same run. BESIDES are there
# where it went on from an earlier model, or where a file of one's own builds the model or the optimizer.
BESIDES = ("initial_weights_digest", "teacher_digest", "own_code_digest")
TRAINING_OF = ("config_hash", "train_digest", "valid_digest", *BESIDES)

# Choices that name models trained before, and the tag that holds the ids of their runs
EARLIER = {"initial_weights": "initial_run_ids", "teacher": "teacher_run_ids"}

BATCH_LIMIT = 1000  # metrics that MLflow takes in one call


class Store:
    """An experiment in an MLflow store.

    What is told to a server (tags, metrics, files, the end of a run) is kept in `unsent` until it has arrived, and
    raises nothing when the server is away. What is asked of one that is away raises UserError. A database on this
    machine is not left in the middle of a change: SIGTERM and Ctrl-C wait for its end. `lock` is the store's lock file.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, lock: Path, unsent: Unsent | None = None):
        self.client = client
        self.experiment_id = experiment_id
        self.lock = lock
        self.unsent = unsent

    def finished(self, tags: Mapping[str, str]) -> list[Run]:
        """FINISHED runs that carry all of `tags`, whose values hold no quotes, newest first."""
        wanted = "".join(f" and tags.{key} = '{value}'" for key, value in tags.items())
        return self._search(f"status = 'FINISHED'{wanted}")

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, Any]) -> str:
        """Start a run and return its id; the process is noted in it, so that its death can be told later."""
        noted = {key: str(value) for key, value in {**tags, **_process_tags()}.items()}
        with self.asked():
            run_id = self.client.create_run(self.experiment_id, tags=noted, run_name=name).info.run_id
            self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return run_id

    def status(self, run_id: str) -> str | None:
        """RUNNING, FINISHED, FAILED or KILLED; None when the experiment has no such run."""
        run = self.run(run_id)
        here = run and run.info.experiment_id == self.experiment_id
        return run.info.status if here and run.info.lifecycle_stage == LifecycleStage.ACTIVE else None

    def run(self, run_id: str) -> Run | None:
        """The run of that id in any experiment, deleted ones too; None when there is none."""
        with self.asked():
            try:
                return self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def resume(self, run_id: str) -> None:
        """Set a run that was cut off RUNNING again, under this process; why it failed before is no longer so.

        Sent at once and not by `unsent`, and under the lock: another process that reaps meanwhile would see it RUNNING
        under the process that is dead, and end it as KILLED.
        """
        tags = [RunTag(key, value) for key, value in (_process_tags() | {"error": ""}).items()]
        with locked(self.lock), self.asked():
            self.client.log_batch(run_id, tags=tags)
            self.client.update_run(run_id, status="RUNNING")

    def tag(self, run_id: str, tags: Mapping[str, Any]) -> None:
        self._tell(run_id, {"tags": {key: str(value) for key, value in tags.items()}})

    def log_dataset(self, run_id: str, name: str, digest: str, context: str) -> None:
        """Say which data a run used, as MLflow's list of runs shows it; `context` is training or validation."""
        dataset = Dataset(name=name, digest=digest[:8], source_type="local", source=json.dumps({"sha256": digest}))
        tag = InputTag(MLFLOW_DATASET_CONTEXT, context)
        with self.asked():
            self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[tag])])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        now = _now()
        self._tell(run_id, {"metrics": [[key, float(value), now, step] for key, value in metrics.items()]})

    def log_history(self, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
        """Log the rows (a dict per epoch, `epoch` its step) that the run does not have yet."""
        with self.asked():
            logged = {point.step for point in self.client.get_metric_history(run_id, "val_accuracy")}
        for row in history:
            if row["epoch"] not in logged:
                self.log_epoch(run_id, row)

    def log_epoch(self, run_id: str, row: Mapping[str, float]) -> None:
        """Log one epoch: a dict of its figures, `epoch` its step."""
        self.log_metrics(run_id, {key: row[key] for key in row if key != "epoch"}, row["epoch"])

    def log_curves(self, run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
        """Log whole curves at once: of each measure its values, of the epochs from 1 on."""
        now = _now()
        points = [[key, float(value), now, at] for key, curve in curves.items() for at, value in enumerate(curve, 1)]
        for start in range(0, len(points), BATCH_LIMIT):
            self._tell(run_id, {"metrics": points[start : start + BATCH_LIMIT]})

    def log_files(self, run_id: str, folder: str | Path, into: str) -> None:
        if self.unsent:
            self.unsent.tell_files(run_id, Path(folder), into)
        else:
            with self.asked():
                self.client.log_artifacts(run_id, str(folder), into)

    def fetch(self, run_id: str, path: str, into: Path) -> Path | None:
        """Copy a run's file or folder at `path` to `into`/<its name>; where it then is, None without file or run."""
        if self.run(run_id) is None:
            return None
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one bar per file, of one file each
        with self.asked():
            listed = self.client.list_artifacts(run_id, str(PurePosixPath(path).parent).strip("."))
            if path not in {file.path for file in listed}:
                return None
            return Path(self.client.download_artifacts(run_id, path, str(into)))

    def end(self, run_id: str, status: str, error: str = "") -> None:
        """Close a run as FINISHED, FAILED or KILLED, with the one line that says why it failed."""
        self._tell(run_id, {"tags": {"error": error[:5000]} if error else {}, "end": [status, _now()]})

    def reap(self) -> int:
        """Mark KILLED every RUNNING run whose process on this machine is gone; returns how many.

        What waits for the server is sent first: one that has ended while it was away is RUNNING there until then.
        """
        with locked(self.lock):
            if self.unsent:
                self.unsent.send_all()
            dead = [run for run in self._search("status = 'RUNNING'") if _is_dead(run.data.tags)]
            for run in dead:
                self.end(run.info.run_id, "KILLED")
        return len(dead)

    def _tell(self, run_id: str, entry: Mapping[str, Any]) -> None:
        if self.unsent:
            self.unsent.tell(run_id, entry)
        else:
            with self.asked():
                send(self.client, run_id, entry)

    def asked(self) -> AbstractContextManager:
        """For `with`, around every use of `client`: a server away or a database out of order is a UserError.

        The database is left whole.
        """
        return answering(self.unsent.address) if self.unsent else database.kept(self.lock.parent / "mlflow.db")

    def _search(self, filter_string: str) -> list[Run]:
        runs, token = [], None
        while True:
            with self.asked():
                page = self.client.search_runs([self.experiment_id], filter_string, max_results=1000, page_token=token)
            runs += page
            if not (token := page.token):
                return runs


def open_store(folder: str | Path, experiment: str, create: bool, wait: float = 0) -> Store:
    """The experiment `experiment` in the store `folder`/mlflow.db; with `create` both are made when absent.

    Without it an absent store is a UserError, and an absent experiment one that names those there are. The environment
    variable MLFLOW_TRACKING_URI, MLflow's own, names a server to use instead. Creating is serialised between processes:
    MLflow's migrations fail when several start on an empty database. What earlier runs could not tell the server is
    sent first, so that a training which FINISHED without it is found to have done so. Raises UserError, before any work
    is done, when the database is corrupt or cannot be written, and when the server is none, or does not answer for
    `wait` seconds.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors are raised as well
    folder = Path(folder).resolve()
    server = os.environ.get("MLFLOW_TRACKING_URI")
    lock = folder / ".lock"
    if not server:
        if not create and not (folder / "mlflow.db").exists():
            raise UserError(f"{folder}: no run of this project there; train first, or go to the project's folder")
        with locked(lock), database.kept(folder / "mlflow.db"):
            database.check(folder / "mlflow.db")
            database.make(folder / "mlflow.db")
            database.bring_along(folder)
            client = MlflowClient(tracking_uri=database.uri(folder / "mlflow.db"))
            artifacts = (folder / "artifacts" / experiment).as_uri()
            return Store(client, _experiment(client, experiment, create, artifacts), lock)
    if not server.startswith(("http://", "https://")):
        raise UserError(
            f"MLFLOW_TRACKING_URI={address(server)}: expected the address of an MLflow server, http://<host>:<port>; "
            f"without it the store is {folder}"
        )
    client = MlflowClient(tracking_uri=server)
    with locked(lock):
        experiment_id = once_it_answers(address(server), wait, lambda: _experiment(client, experiment, create, None))
    unsent = Unsent(folder / "unsent", client, address(server))
    unsent.send_all()
    return Store(client, experiment_id, lock, unsent)


def _experiment(client: MlflowClient, name: str, create: bool, location: str | None) -> str:
    """The id of the experiment `name`; with `create` it is made when absent, its files at `location` (a URI)."""
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        raise UserError(f"MLflow experiment {name!r} is deleted; restore it, or empty the store's trash")
    if not (found or create):
        known = ", ".join(sorted(each.name for each in client.search_experiments() if each.name != "Default"))
        raise UserError(
            f"MLflow has no experiment {name!r}; there are: {known or 'none'}; train first, or import histories "
            "(trainings that dvc repro takes from its cache are not tracked again; dvc repro --force trains them)"
        )
    # the kind makes MLflow's page open on runs and curves, once its switch stands at Model training
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return found.experiment_id if found else client.create_experiment(name, location, kind)


def git_commit() -> str:
    """The commit of this project's code, with `+changes` when it differs from it; "unknown" outside a repository."""
    asked = partial(subprocess.check_output, text=True, stderr=subprocess.DEVNULL, cwd=CONF.parent)
    try:
        head = asked(["git", "rev-parse", "HEAD"]).strip()
        changed = asked(["git", "status", "--porcelain", "-uno"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


@contextmanager
def running(store: Store, run_id: str) -> Iterator[None]:
    """End the run as what became of the block: FINISHED, KILLED on Ctrl-C or SIGTERM, FAILED on any other error."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        try:
            store.end(run_id, *(["KILLED"] if stopped else ["FAILED", f"{type(error).__name__}: {error}"]))
        except UserError as another:  # such as a full disk, which may have been the first one too
            log.warning("MLflow run %s could not be ended: %s", run_id, another)
        raise
    store.end(run_id, "FINISHED")


def _now() -> int:
    return int(time.time() * 1000)  # milliseconds, as MLflow has it


def _process_tags() -> dict[str, str]:
    return {"host": socket.gethostname(), "pid": str(os.getpid()), "pid_started": _started(os.getpid())}


def _is_dead(tags: Mapping[str, str]) -> bool:
    if tags.get("host") != socket.gethostname() or "pid" not in tags:
        return False
    return _started(int(tags["pid"])) != tags.get("pid_started")


def _started(pid: int) -> str:
    """When a process started, as the system counts it, so that a reused process id is not taken for it; "" if gone."""
    if not sys.platform.startswith("linux"):
        return "alive" if alive(pid) else ""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends between opening and reading
        return ""

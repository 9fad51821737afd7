"""Row 28: a tracking server that goes away ends no training, and what it was to be told reaches it later, once."""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY, composed, write_arrays
from mlflow.tracking import MlflowClient

from pipeline import promote, train
from pipeline.learning.checkpoint import Checkpoints
from pipeline.reporting import histories
from pipeline.running import mlflow_server, unsent
from pipeline.running.errors import UserError
from pipeline.running.mlflow_server import PATIENCE
from pipeline.running.tracking import Store, open_store, running


class Line:
    """The line to a server: what connects to `address` reaches it, until the line is cut."""

    def __init__(self, server: int):
        self.server = server
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.deaf = self.mute = False  # deaf: requests never reach the server; mute: its answers get lost
        self.open: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self.deaf = self.mute = False
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def cut(self) -> None:
        for each in (self.listener, *self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.open = []

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here = listener.accept()[0]
                there = socket.create_connection(("127.0.0.1", self.server))
                self.open += [here, there]
                threading.Thread(target=self._pass_on, args=[here, there, "deaf"], daemon=True).start()
                threading.Thread(target=self._pass_on, args=[there, here, "mute"], daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, lost: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.mute and lost == "mute":
                    break
                if not (self.deaf and lost == "deaf"):
                    target.sendall(data)
            for each in (source, target):
                each.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> int:
    """The port of a real `mlflow server`."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # helpers of a server that start slowly
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            break
        assert process.poll() is None, "no server"
        time.sleep(0.2)
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def line(server, tmp_path, monkeypatch, caplog) -> Line:
    """A line to the server; an empty project whose runs are tracked through it, and which is told at once of a cut."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    for variable, value in (PATIENCE | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}).items():
        monkeypatch.setenv(variable, value)
    line = Line(server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", line.address)
    yield line
    line.cut()


@pytest.fixture
def project(line, tmp_path) -> Path:
    write_arrays(tmp_path / "data/resized/rgb", name=tmp_path.name)
    return tmp_path


def waiting(folder: str = "mlruns/unsent") -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def steps(store: Store, run_id: str, metric: str = "val_accuracy") -> list[int]:
    return sorted(point.step for point in store.client.get_metric_history(run_id, metric))


def run(*overrides: str) -> None:
    train.main(composed("train", *TINY, f"data.name={Path.cwd().name}", "epochs=5", "output=out", *overrides))


def at_epoch(monkeypatch, what: dict) -> None:
    """Do `what[n]` after epoch n, before it is logged."""
    save = Checkpoints.save

    def saved(self, model, state, run_id):
        save(self, model, state, run_id)
        what.get(state.epoch, lambda: None)()

    monkeypatch.setattr(Checkpoints, "save", saved)


def test_row_28_a_server_that_is_away_for_some_epochs_gets_them_when_it_is_back(project, line, monkeypatch, caplog):
    at_epoch(monkeypatch, {2: line.cut, 4: line.mend})
    run()
    store = open_store("mlruns", project.name, create=True)
    (finished,) = store.finished({})
    assert steps(store, finished.info.run_id) == [1, 2, 3, 4, 5]
    assert not waiting()
    assert sum("Connection refused" in message for message in caplog.messages) == 1
    assert f"MLflow server {line.address}: answers again" in caplog.text


def test_row_28_a_server_that_stays_away_is_told_by_the_next_command_which_trains_nothing(
    project, line, monkeypatch, caplog
):
    at_epoch(monkeypatch, {2: line.cut})
    run()  # it ends, whole
    ended = time.time()
    assert Path("out/train/model.keras").exists()
    assert "next command" in caplog.messages[-2] and "best val_accuracy" in caplog.messages[-1]
    kept = len(waiting())
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained again"))
    with pytest.raises(UserError, match=rf"MLflow server {line.address} .* Connection refused; start it"):
        run()
    assert len(waiting()) == kept
    line.mend()
    shutil.rmtree("out")  # as on another machine, which finds the run finished
    run()
    assert Path("out/train/model.keras").exists()
    store = open_store("mlruns", project.name, create=True)
    (finished,) = store.finished({})
    assert len(store.client.search_runs([store.experiment_id])) == 1
    assert steps(store, finished.info.run_id) == [1, 2, 3, 4, 5]
    assert steps(store, finished.info.run_id, "best_val_accuracy") == [0]
    assert finished.info.end_time / 1000 < ended
    files = {file.path for file in store.client.list_artifacts(finished.info.run_id, "train")}
    assert files >= {f"train/{name}" for name in ("model.keras", "history.csv", "config.yaml", "run.json")}
    assert not waiting() and not list(Path("checkpoints").glob("*/"))


def test_a_run_that_is_resumed_is_this_process_s_at_once_even_in_the_pause_after_a_cut(line, tmp_path):
    store = open_store("mlruns", tmp_path.name, create=True)
    run_id = store.start("a", {}, {})
    store.tag(run_id, {"pid": 1, "pid_started": "long ago"})
    store.end(run_id, "KILLED")
    store.unsent.ask_again = time.monotonic() + 1000
    store.resume(run_id)
    assert store.reap() == 0
    assert store.status(run_id) == "RUNNING"


def test_a_run_that_finished_while_the_server_was_away_is_not_reaped_by_one_that_waited_for_it(line, tmp_path):
    waited = open_store("mlruns", tmp_path.name, create=True)
    ended = open_store("mlruns", tmp_path.name, create=True)
    run_id = ended.start("a", {}, {})
    ended.tag(run_id, {"pid": 1, "pid_started": "long ago"})
    line.cut()
    ended.end(run_id, "FINISHED")
    line.mend()
    assert waited.reap() == 0
    assert waited.status(run_id) == "FINISHED" and not waiting()


def test_row_28_a_server_away_at_the_start_is_refused_before_any_work(project, line, monkeypatch):
    line.cut()
    for variable in PATIENCE:
        monkeypatch.delenv(variable)  # as it is for a user, whom MLflow alone would let wait for minutes
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"MLflow server {line.address} .* Connection refused"):
        run()
    assert time.monotonic() - started < 60
    assert not Path("out").exists() and not Path("checkpoints").exists()


def test_row_28_a_job_of_a_sweep_waits_for_a_server_that_was_there_before(line, monkeypatch, caplog):
    line.cut()
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: line.mend())
    monkeypatch.setattr(mlflow_server, "time", clock)
    store = open_store("mlruns", "sample", create=True, wait=train.OUTAGE)
    assert store.finished({}) == [] and re.search(r"; trying again in 15 s, for \d+ s more", caplog.text)


def test_a_server_that_goes_away_while_it_is_asked_is_one_line(line):
    store = open_store("mlruns", "asked", create=True)
    run_id = store.start("run", {}, {})
    line.cut()
    asks = {
        "histories": lambda: histories.read(store, [run_id]),
        "promote": lambda: promote.reigning(store, "emotion"),
        "register": lambda: promote.registered(store, "emotion", {"run_id": run_id}),
        "run": lambda: store.run(run_id),
    }
    for ask in asks.values():
        with pytest.raises(UserError, match=rf"MLflow server {line.address} .* cannot be used"):
            ask()


def test_a_lost_answer_doubles_nothing(line):
    store = open_store("mlruns", "lost answer", create=True)
    run_id = store.start("run", {}, {})
    line.mute = True
    store.log_metrics(run_id, {"val_accuracy": 0.5}, 1)
    assert len(waiting()) == 1
    assert steps(store_beside(line), run_id) == [1]  # it had arrived
    line.cut()
    line.mend()
    store.log_metrics(run_id, {"val_accuracy": 0.6}, 2)
    store.end(run_id, "FINISHED")
    assert steps(store, run_id) == [1, 2]
    assert not waiting()


def store_beside(line: Line) -> Store:
    return Store(MlflowClient(f"http://127.0.0.1:{line.server}"), "", Path("mlruns/.lock"))


def test_a_server_that_never_answers_is_asked_a_tenth_of_the_time_at_most(line, monkeypatch):
    store = open_store("mlruns", "deaf", create=True)
    run_id = store.start("run", {}, {})
    line.deaf = True
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(unsent, "PAUSE", 1000)  # so that it is not over on a slow machine
    asked, send_run = [], unsent.Unsent._send_run
    monkeypatch.setattr(unsent.Unsent, "_send_run", lambda kept, run: asked.append(run) or send_run(kept, run))
    started = time.monotonic()
    store.log_metrics(run_id, {"loss": 1.0}, 1)
    assert time.monotonic() - started > 1.9
    for step in range(2, 12):
        store.log_metrics(run_id, {"loss": 1.0}, step)
    assert asked == [run_id]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    line.cut()
    line.mend()
    store.end(run_id, "FINISHED")
    assert steps(store, run_id, "loss") == list(range(1, 12))


def test_a_run_that_fails_or_is_stopped_without_the_server_ends_as_that(line):
    store = open_store("mlruns", "ends", create=True)
    ends = {"FAILED": ValueError("no such thing"), "KILLED": SystemExit(143)}
    runs = {status: store.start(status, {}, {}) for status in ends}
    line.cut()
    for status, error in ends.items():
        with pytest.raises(type(error)), running(store, runs[status]):
            raise error
    line.mend()
    store = open_store("mlruns", "ends", create=False)
    assert {status: store.status(runs[status]) for status in ends} == {status: status for status in ends}
    assert store.client.get_run(runs["FAILED"]).data.tags["error"] == "ValueError: no such thing"


@pytest.fixture
def local(tmp_path) -> tuple[Store, unsent.Unsent]:
    """A store, and what waits for it; no server is needed to see what becomes of that."""
    store = open_store(tmp_path / "mlruns", "sample", create=True)
    return store, unsent.Unsent(tmp_path / "unsent", store.client, "http://somewhere")


@pytest.fixture
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_two_commands_that_send_the_same_at_once_lose_and_double_nothing(no_server, local, tmp_path, monkeypatch):
    store, kept = local
    run_id = store.start("run", {}, {})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_text("weights")
    with monkeypatch.context() as away:
        away.setattr(kept, "try_to_send", lambda *_, **__: None)
        for step in range(20):
            kept.tell(run_id, {"metrics": [["loss", 0.5, 1000 + step, step]]})
        kept.tell_files(run_id, tmp_path / "run", "train")
        (tmp_path / "run" / "model.keras").write_text("those of the next run")
        kept.tell(run_id, {"tags": {"error": ""}, "end": ["FINISHED", 2000]})
    with ThreadPoolExecutor(2) as commands:
        for command in [commands.submit(kept.send_all) for _ in range(2)]:
            command.result()
    assert steps(store, run_id, "loss") == list(range(20))
    assert store.status(run_id) == "FINISHED"
    assert Path(store.client.download_artifacts(run_id, "train/model.keras")).read_text() == "weights"
    assert not waiting(tmp_path / "unsent") and not list(kept.folder.glob("*/"))


def test_one_command_at_a_time_sends_what_waits_of_a_run(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    both, sending, sent = threading.Barrier(2), threading.Lock(), []

    class Client:
        def log_artifacts(self, run_id: str, folder: str) -> None:
            assert sending.acquire(blocking=False), "MLflow's copy fails where another makes the same folder"
            until = time.monotonic() + 60
            while "another command sends what waits" not in caplog.text:
                assert time.monotonic() < until
                time.sleep(0.01)
            sent.extend(file.read_text() for file in Path(folder).rglob("*.keras"))
            sending.release()

    def command() -> None:
        both.wait(20)
        kept.send_all()

    kept = unsent.Unsent(tmp_path / "unsent", Client(), "http://somewhere")
    monkeypatch.setattr(kept, "try_to_send", lambda *_, **__: None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_text("weights")
    kept.tell_files("r", tmp_path / "run", "train")
    with ThreadPoolExecutor(2) as commands:
        for each in [commands.submit(command) for _ in range(2)]:
            each.result()
    assert sent == ["weights"] and not list(kept.folder.iterdir())


def test_files_that_a_server_finds_no_place_for_stay(tmp_path, monkeypatch):
    class Client:
        def log_artifacts(self, run_id: str, folder: str) -> None:
            raise FileNotFoundError(2, "No such file or directory", "/artifacts")

    kept = unsent.Unsent(tmp_path / "unsent", Client(), "http://somewhere")
    monkeypatch.setattr(kept, "try_to_send", lambda *_, **__: None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_text("weights")
    kept.tell_files("r", tmp_path / "run", "train")
    before = waiting(kept.folder)
    with pytest.raises(UserError, match=r"does not take what waits in .*: .*No such file or directory"):
        kept.send_all()
    assert waiting(kept.folder) == before and before[0].read_text() == "weights"


def test_what_a_server_does_not_take_stays_and_is_named(no_server, local):
    _, kept = local
    kept.tell("0" * 32, {"metrics": [["loss", 0.5, 1000, 1]]})  # of a run that the server has not
    with pytest.raises(
        UserError, match=f"does not take what waits in {kept.folder}/{'0' * 32}: .*or delete that folder"
    ):
        kept.send_all()
    assert len(waiting(kept.folder)) == 1


def test_a_password_is_not_shown():
    assert mlflow_server.address("https://name:secret@host:8443/mlflow") == "https://host:8443/mlflow"

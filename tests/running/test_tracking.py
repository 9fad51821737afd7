"""The MLflow store: made once however many start, refused when unsound, and no run is left RUNNING by the dead."""

import fcntl
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from pipeline.running import database, tracking
from pipeline.running.errors import UserError
from pipeline.running.signals import stoppable
from pipeline.running.tracking import git_commit, open_store, running


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def start_a_run(folder: Path) -> None:
    open_store(folder, "sample", create=True).start("run", {"a": 1}, {})


def start_elsewhere(folder: Path) -> multiprocessing.Process:
    """A process of its own, which has seen no database, that starts a run and ends; only the imports are shared."""
    context = multiprocessing.get_context("forkserver")
    late = ["mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "alembic.command"]
    context.set_forkserver_preload(["pipeline.running.tracking", *late, "pytest"])
    process = context.Process(target=start_a_run, args=(folder,))
    process.start()
    return process


def status(store, run_id: str) -> str:
    return store.client.get_run(run_id).info.status


def test_row_26_processes_that_start_together_on_no_database_share_one_experiment(tmp_path):
    processes = [start_elsewhere(tmp_path) for _ in range(8)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    store = open_store(tmp_path, "sample", create=True)
    assert len(store.client.search_runs([store.experiment_id])) == 8


def test_row_27_a_locked_database_is_waited_for(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    run_id = store.start("run", {}, {})
    other = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)
    other.execute("begin exclusive")
    started = time.monotonic()
    threading.Timer(6, other.rollback).start()  # SQLite's own patience is 5 s
    with ThreadPoolExecutor(1) as beside:
        opened = beside.submit(open_store, tmp_path, "sample", False)
        store.log_metrics(run_id, {"accuracy": 0.5})
        waited = time.monotonic() - started
        assert opened.result().status(run_id) == "RUNNING"
    assert waited > 5.5
    assert store.client.get_run(run_id).data.metrics == {"accuracy": 0.5}


def test_row_12_a_kill_while_mlflow_makes_its_database_leaves_none(tmp_path):
    process = start_elsewhere(tmp_path)
    while not (begun := [file for file in tmp_path.glob(".mlflow.*.db") if file.stat().st_size > 150_000]):
        assert process.is_alive(), "the test shows nothing"
        time.sleep(0.001)
    process.kill()
    process.join()
    left = begun[0].with_name(f"{begun[0].name}-journal")
    left.touch()  # as it may leave, or not
    assert not (tmp_path / "mlflow.db").exists()
    database.make(tmp_path / "mlflow.db")
    assert open_store(tmp_path, "sample", create=True).reap() == 0
    assert not left.exists() and not list(tmp_path.glob(".mlflow*"))


def test_row_29_a_database_that_mlflow_left_half_made_is_named(tmp_path, no_runs):
    shutil.copy(no_runs, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as half, half:
        half.execute("delete from alembic_version")
        half.execute("drop table trace_tags")
    with pytest.raises(UserError, match=r"mlflow\.db: MLflow was ended while it made or upgraded it; restore a copy"):
        open_store(tmp_path, "sample", create=True)


@pytest.mark.parametrize("damage", ["garbage", "torn", "read-only"])
def test_row_29_an_unsound_database_is_refused_and_named(tmp_path, damage):
    open_store(tmp_path, "sample", create=True)
    database = tmp_path / "mlflow.db"
    if damage == "garbage":
        database.write_bytes(b"not a database" * 1000)
    elif damage == "torn":
        with database.open("r+b") as file:
            file.seek(8192)
            file.write(os.urandom(100_000))
    else:
        database.chmod(0o444)
    with pytest.raises(UserError, match=r"mlflow\.db: is (not a sound SQLite database|read-only)"):
        open_store(tmp_path, "sample", create=True)


def test_a_database_that_another_process_holds_is_not_called_unsound(tmp_path, monkeypatch):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table runs (name)")
        other.execute("begin exclusive")
        monkeypatch.setattr(database, "SQLITE_WAIT", 0.1)
        with pytest.raises(
            UserError, match=r"mlflow\.db: cannot be used now \(database is locked\); end what holds it"
        ):
            database.check(path)
    database.check(path)


def test_a_run_ends_as_what_became_of_it(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    ends = {}
    for error in (None, KeyboardInterrupt(), SystemExit(143), ValueError("no such thing")):
        ends[type(error)] = store.start("run", {}, {})
        try:
            with running(store, ends[type(error)]):
                if error:
                    raise error
        except BaseException as raised:
            assert raised is error
    assert [status(store, run_id) for run_id in ends.values()] == ["FINISHED", "KILLED", "KILLED", "FAILED"]
    assert store.client.get_run(ends[ValueError]).data.tags["error"] == "ValueError: no such thing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_row_17_a_signal_in_the_middle_of_a_write_leaves_it_whole_and_the_database_free(tmp_path, number):
    store = open_store(tmp_path, "sample", create=True)
    run_id = store.start("run", {}, {})

    def interrupt(connection, cursor, statement, *rest):
        if statement.startswith("INSERT INTO metrics"):
            os.kill(os.getpid(), number)

    event.listen(Engine, "after_cursor_execute", interrupt)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)), stoppable(), running(store, run_id):
            store.log_epoch(run_id, {"epoch": 1, "accuracy": 0.5})
            raise AssertionError("went on")
    finally:
        event.remove(Engine, "after_cursor_execute", interrupt)
    run = store.client.get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("KILLED", {"accuracy": 0.5})


def test_row_30_a_run_of_a_dead_process_is_reaped_and_a_living_one_is_not(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    living = store.start("living", {}, {})
    start_elsewhere(tmp_path).join()
    (dead,) = (run.info.run_id for run in store.client.search_runs([store.experiment_id], "run_name = 'run'"))
    assert status(store, dead) == "RUNNING"
    assert store.reap() == 1
    assert (status(store, dead), status(store, living)) == ("KILLED", "RUNNING")


def test_row_30_a_process_that_ends_while_it_is_looked_at_is_dead(tmp_path, monkeypatch):
    store = open_store(tmp_path, "sample", create=True)
    run_id = store.start("a", {}, {})

    def gone(*_, **__):
        raise ProcessLookupError(3, "No such process")

    with monkeypatch.context() as looked:
        looked.setattr(Path, "read_text", gone)
        assert store.reap() == 1
    assert status(store, run_id) == "KILLED"


def test_a_killed_run_is_resumed_under_this_process(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    run_id = store.start("a", {}, {})
    store.tag(run_id, {"pid": 1, "pid_started": "long ago"})
    store.end(run_id, "FAILED", "out of memory")
    assert store.run(run_id).data.tags["error"] == "out of memory"
    store.resume(run_id)
    assert store.run(run_id).data.tags["error"] == ""
    assert store.reap() == 0
    assert store.status(run_id) == "RUNNING"
    assert store.status("0" * 32) is None


@pytest.mark.parametrize("amid", ["log_batch", "update_run", "search_runs"])
def test_row_30_a_run_is_not_reaped_while_it_is_resumed_nor_resumed_while_it_is_reaped(tmp_path, monkeypatch, amid):
    store, other = (open_store(tmp_path, "sample", create=True) for _ in range(2))
    run_id = store.start("a", {}, {})
    store.tag(run_id, {"pid": 1, "pid_started": "long ago"})
    resume, reap = partial(store.resume, run_id), other.reap
    if amid == "search_runs":
        client, first, second = other.client, reap, resume
    else:
        store.end(run_id, "KILLED")
        client, first, second = store.client, resume, reap
    meanwhile, waits, flock = threading.Thread(target=second), threading.Event(), fcntl.flock

    def seen(file, how: int) -> None:
        if not how & fcntl.LOCK_NB:
            waits.set()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", seen)

    def then_the_other(*args, **options):
        answer = step(*args, **options)
        if not meanwhile.ident:
            meanwhile.start()
            assert waits.wait(60)
        return answer

    step = getattr(client, amid)
    setattr(client, amid, then_the_other)
    first()
    meanwhile.join()
    assert status(store, run_id) == "RUNNING"


def test_the_commit_of_the_code_is_told_and_that_it_has_changes(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    (tmp_path / "code/a").write_text("1")
    as_somebody = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "a"], [*as_somebody, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", *words], check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert git_commit() != head  # of this project, wherever it is started
    monkeypatch.setattr(tracking, "CONF", tmp_path / "code/conf")
    monkeypatch.chdir(tmp_path)
    assert git_commit() == head
    (tmp_path / "code/a").write_text("2")
    assert git_commit() == f"{head}+changes"
    monkeypatch.setattr(tracking, "CONF", tmp_path / "conf")
    assert git_commit() == "unknown"


def test_the_database_does_not_follow_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("mlruns", "sample", create=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_id = store.start("run", {}, {})
    (tmp_path / "file.txt").write_text("x")
    store.client.log_artifact(run_id, str(tmp_path / "file.txt"))
    assert not list((tmp_path / "elsewhere").iterdir())
    assert list((tmp_path / "mlruns/artifacts/sample").rglob("file.txt"))


def test_the_files_of_a_store_that_was_moved_or_copied_are_in_the_new_place(tmp_path, caplog):
    def files(store):
        run_id = store.start("run", {}, {})
        (tmp_path / "sent").mkdir(exist_ok=True)
        (tmp_path / "sent/file.txt").write_text("x")
        store.log_files(run_id, tmp_path / "sent", "train")
        return run_id

    def place(store, run_id):
        (file,) = store.client.list_artifacts(run_id, "train")
        return store.client.get_run(run_id).info.artifact_uri, file.path

    store = open_store(tmp_path / "first", "faces (1) é", create=True)
    first = files(store)
    store.client.create_registered_model("m")
    source = f"{store.client.get_run(first).info.artifact_uri}/train"
    store.client.create_model_version("m", source, first)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    copy = open_store(tmp_path / "copy", "faces (1) é", create=True)
    second = files(copy)
    assert place(copy, first)[0].startswith((tmp_path / "copy").as_uri())
    assert len(list((tmp_path / "copy").rglob("file.txt"))) == 2 and len(list((tmp_path / "first").rglob("*.txt"))) == 1
    (tmp_path / "copy").rename(tmp_path / "moved")
    moved = open_store(tmp_path / "moved", "faces (1) é", create=True)
    assert {place(moved, each)[1] for each in (first, second)} == {"train/file.txt"}
    assert moved.client.get_model_version("m", 1).source.startswith((tmp_path / "moved").as_uri())
    # A database without its files: they are where they were.
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "first/mlflow.db", tmp_path / "alone/mlflow.db")
    alone = open_store(tmp_path / "alone", "faces (1) é", create=True)
    assert place(alone, first)[0].startswith((tmp_path / "first").as_uri())


def test_an_experiment_that_is_not_there_is_named_beside_those_that_are_and_not_made(tmp_path):
    open_store(tmp_path, "sample", create=True)
    with pytest.raises(UserError, match="no experiment 'sampel'; there are: sample"):
        open_store(tmp_path, "sampel", create=False)
    assert open_store(tmp_path, "sample", create=False).client.get_experiment_by_name("sampel") is None


@pytest.mark.parametrize("server", ["localhost:5000", "http//localhost:5000", "mlruns"])
def test_what_is_no_address_of_a_server_is_refused_by_name(tmp_path, monkeypatch, server):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with pytest.raises(UserError, match=rf"^MLFLOW_TRACKING_URI={server}: expected .* http://<host>:<port>"):
        open_store(tmp_path, "sample", create=True)
    assert not list(tmp_path.iterdir())


def test_where_there_is_no_store_none_is_made_by_asking(tmp_path):
    with pytest.raises(UserError, match="mlruns: no run of this project there; train first, or go to the project's"):
        open_store(tmp_path / "mlruns", "sample", create=False)
    assert not (tmp_path / "mlruns").exists()


def test_a_run_of_another_machine_is_not_reaped_whatever_processes_there_are_here(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    run_id = store.start("far away", {}, {})
    store.tag(run_id, {"host": "elsewhere", "pid": 1, "pid_started": "long ago"})
    assert store.reap() == 0
    assert status(store, run_id) == "RUNNING"


def test_row_13_a_full_disk_under_the_database_is_named_and_does_not_hide_what_failed_first(small_disk, caplog):
    store = open_store(small_disk, "sample", create=True)
    run_id = store.start("run", {}, {})
    rest = small_disk / "rest"
    with pytest.raises(OSError, match="No space"), rest.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))
    with pytest.raises(UserError, match=r"mlflow\.db: the disk is full"):
        for step in range(10_000):
            store.log_metrics(run_id, {"loss": 1.0}, step)
    with pytest.raises(ValueError, match="first"), running(store, run_id):
        raise ValueError("first")
    assert "could not be ended" in caplog.text
    rest.unlink()
    with pytest.raises(ValueError, match="second"), running(store, run_id):
        raise ValueError("second")
    assert status(store, run_id) == "FAILED"


def test_a_folder_whose_name_an_address_would_read_otherwise_has_its_own_database(tmp_path):
    for name in ("my%20faces", "my faces", "what?", "50% done", "a#1"):
        store = open_store(tmp_path / name, "sample", create=True)
        store.end(store.start(name, {}, {}), "FINISHED")
        assert [run.info.run_name for run in store.finished({})] == [name]
        assert (tmp_path / name / "mlflow.db").exists()
    assert len(list(tmp_path.rglob("mlflow.db"))) == 5


def test_of_a_run_that_is_not_there_nothing_is_fetched(tmp_path):
    store = open_store(tmp_path, "sample", create=True)
    assert store.fetch("0" * 32, "train", tmp_path) is None


def test_a_database_of_another_version_of_mlflow_is_named(tmp_path):
    open_store(tmp_path / "here", "sample", create=True)
    shutil.copytree(tmp_path / "here", tmp_path / "newer")
    with closing(sqlite3.connect(tmp_path / "newer/mlflow.db")) as made, made:
        made.execute("update alembic_version set version_num = 'of_a_later_one'")
    with pytest.raises(UserError, match=r"newer/mlflow\.db: another version of MLflow made it"):
        open_store(tmp_path / "newer", "sample", create=True)

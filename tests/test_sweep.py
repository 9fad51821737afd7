"""A sweep survives what kills its jobs, its workers and itself: nothing is trained twice, nothing is left undone."""

import contextlib
import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import TINY, composed, contents
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from shells import shell

from pipeline import train
from pipeline.learning.checkpoint import Checkpoints
from pipeline.running import sweep, tracking
from pipeline.running.errors import UserError
from pipeline.running.tracking import Store, open_store

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@pytest.mark.parametrize(("n_jobs", "threads"), [(1, None), (4, "2"), (16, "1"), (-1, "1")])
def test_the_cores_are_shared_out_among_jobs_side_by_side(monkeypatch, n_jobs, threads):
    for name in THREADS:
        monkeypatch.setenv(name, "")  # so that what is set is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(sweep, "cores", lambda: 8)
    monkeypatch.setattr(sweep, "check_jobs", lambda config: 1)
    try:
        sweep.Overview().on_multirun_start(OmegaConf.create({"hydra": {"launcher": {"n_jobs": n_jobs}}}))
        assert [os.environ.get(name) for name in THREADS] == [threads] * 3
    finally:
        sweep.forget_log()


def entry(job: int, state: str, hour: float, **more) -> dict:
    return {"job": job, "state": state, "time": time.mktime((2026, 5, 4, 0, 0, 0, 0, 0, -1)) + hour * 3600} | more


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        # 50 of 60 had finished before the sweep was started again; an hour each is what the others take
        (
            [
                *(entry(job, state, 0, skipped=True) for job in range(50) for state in ("running", "done")),
                entry(50, "running", 0),
                entry(50, "done", 1),
            ],
            "51 done, 0 running, 0 failed, 9 left, expected end 10:00",
        ),
        ([entry(0, "running", 0), entry(0, "done", 0, skipped=True)], "1 done, 0 running, 0 failed, 59 left"),
        ([entry(0, "running", 0), entry(0, "failed", 0)], "0 done, 0 running, 1 failed, 59 left"),
        (
            [entry(0, "running", 0), entry(0, "done", 10)],
            "1 done, 0 running, 0 failed, 59 left, expected end 2026-05-29 00:00",
        ),
        # four side by side, of which the first has ended and a fifth has not begun
        (
            [*(entry(job, "running", 0) for job in range(4)), entry(0, "done", 1)],
            "1 done, 3 running, 0 failed, 56 left, expected end 15:00",
        ),
        # the last two of 60, side by side
        (
            [
                *(entry(job, state, 0, skipped=True) for job in range(58) for state in ("running", "done")),
                *(entry(job, "running", hour) for job, hour in ((58, 0), (59, 0.5))),
                entry(58, "done", 1),
            ],
            "59 done, 1 running, 0 failed, 0 left, expected end 01:30",
        ),
    ],
)
def test_the_end_of_a_sweep_is_expected_from_the_jobs_that_trained(entries, said):
    line = sweep.overview([{"jobs": 60, "time": entry(0, "", 0)["time"]}, *entries])
    assert line == f"sweep: {said}"


ROOT = Path(__file__).resolve().parents[1]
GRID = (*TINY[:2], "optimizer=adam,rmsprop,sgd", "batch_size=8,16", "epochs=2")  # six points


@pytest.fixture
def start(project):
    """A function that starts a sweep as a process; what it says is in the file `said`."""
    started = []

    def start_one(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "pipeline.train", "-m", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with Path("said").open("a") as said:
            started.append(subprocess.Popen(command, env=environment, start_new_session=True, stdout=said, stderr=said))
        return started[-1]

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers as well


def runs(status: str) -> list:
    store = open_store("mlruns", "sample", create=True)
    return store.client.search_runs([store.experiment_id], f"status = '{status}'")


def epochs(run_id: str) -> list[int]:
    client = open_store("mlruns", "sample", create=True).client
    return sorted(point.step for point in client.get_metric_history(run_id, "val_accuracy"))


def wait_until(finished: int, ended: Callable[[], object]) -> int:
    """Wait until so many runs have FINISHED while another is RUNNING; returns the process id of that one."""
    count = "select count(*) from runs where status = 'FINISHED'"
    pid = "select value from tags join runs using (run_uuid) where status = 'RUNNING' and key = 'pid'"
    while True:
        assert not ended(), Path("said").read_text() if Path("said").exists() else "the sweep has ended already"
        if asked(count) >= finished and (running := asked(pid)):
            return int(running)
        time.sleep(0.1)


def kill_a_worker(ended: Callable[[], object]) -> None:
    """As the system does when memory runs out."""
    worker = wait_until(1, ended)
    assert worker != os.getpid()
    os.kill(worker, signal.SIGKILL)


def asked(query: str) -> int | str:
    """The first value, or 0, that the database has, without disturbing those who write."""
    if not Path("mlruns/mlflow.db").exists():
        return 0
    with contextlib.closing(sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True, timeout=60)) as database:
        try:
            row = database.execute(query).fetchone()
        except sqlite3.OperationalError:  # it is just being made
            row = None
    return row[0] if row else 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["batch_size=8,x"], "batch_size=x: expected a whole number, at least 1"),
        (["augment=study,nothing"], "augment/nothing"),
        (["mixup=0,0.1"], "mixup: there is no such value; did you mean augment.mixup?"),
        (["seed=0,1", "output=runs/x"], "output=runs/x: 2 jobs of the sweep would write it"),
        (["seed=0,1", "output=runs/x,runs/y/"], "output=runs/x: 2 jobs of the sweep would write it"),
        (["seed=0,1", "output=runs/${batch_size}"], "output=runs/8: 2 jobs of the sweep would write it"),
    ],
)
def test_what_cannot_be_of_a_sweep_is_refused_before_any_of_its_jobs(project, monkeypatch, capfd, arguments, said):
    before = contents(project)
    code, out, err = shell(monkeypatch, capfd, "train", "-m", *TINY, *arguments)
    assert code == 2 and not out
    assert said in err and len(err.strip().splitlines()) == 1
    assert contents(project) == before


def test_jobs_of_a_sweep_may_each_have_an_output_of_their_own(project, monkeypatch, capfd):
    outputs = []
    monkeypatch.setattr(train, "main", lambda cfg: outputs.append(cfg.output))
    own = "output=runs/${seed}_${hydra:job.num}"
    assert shell(monkeypatch, capfd, "train", "-m", *TINY, "seed=3,4", own)[0] == 0
    assert outputs == ["runs/3_0", "runs/4_1"]


def test_row_24_a_worker_and_then_the_sweep_are_killed_and_the_rest_is_run(start, monkeypatch, capfd):
    ended = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_a_worker, ended.is_set)
        jobs = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
        code, _, said = shell(monkeypatch, capfd, "train", "-m", *GRID, *jobs)
        ended.set()
        killing.result()
    assert code == 1 and "the same command runs what is not finished" in said
    assert "  failed: TerminatedWorkerError: A worker process" in said and ": cut off by that" in said

    first = {run.info.run_id for run in runs("FINISHED")}
    process = start(*GRID)
    wait_until(len(first) + 1, lambda: process.poll() is not None)
    process.kill()
    process.wait()

    second = {run.info.run_id for run in runs("FINISHED")}
    assert first < second and len(second) < 6
    assert shell(monkeypatch, capfd, "train", "-m", *GRID)[0] == 0
    finished = runs("FINISHED")
    assert second < {run.info.run_id for run in finished}
    assert len(finished) == len({run.data.tags["config_hash"] for run in finished}) == 6
    assert all(epochs(run.info.run_id) == [1, 2] for run in finished)
    assert not runs("RUNNING") and not list(Path("checkpoints").glob("*/"))


def test_row_24_a_worker_of_a_sweep_watches_over_it_and_a_sweep_of_one_process_does_not(monkeypatch):
    watched = []
    monkeypatch.setattr(sweep, "_end_with_the_sweep", lambda: watched.append(1))
    monkeypatch.setattr(sweep, "_append", lambda *_: None)
    monkeypatch.setattr(sweep, "_entry", lambda *_: {})
    monkeypatch.setenv(sweep.LOG_VARIABLE, "a sweep's")
    for pid in (os.getpid(), os.getppid()):
        monkeypatch.setattr(sweep, "read_log", lambda pid=pid: [{"pid": pid}])
        sweep.Overview().on_job_start(None)
    assert watched == [1]


def test_row_28_a_later_job_of_a_sweep_waits_for_mlflow_and_nothing_else_does(project, monkeypatch):
    waits = []

    def away(*_, wait, **__):
        waits.append(wait)
        raise UserError("away")

    monkeypatch.setattr(tracking, "open_store", away)
    for begun in (False, True):
        monkeypatch.setattr(sweep, "another_ended", lambda begun=begun: begun)
        with pytest.raises(UserError, match="away"):
            train.main(composed("train", *TINY))
    assert waits == [0, train.OUTAGE]


def test_row_24_a_worker_ends_with_its_sweep():
    worker = "import time; from pipeline.running import sweep; sweep._end_with_the_sweep(); print(1, flush=True)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {worker + '; time.sleep(900)'!r}])"
    command = [sys.executable, "-c", f"{parent}; time.sleep(900)"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    assert process.stdout.read() == b""  # which comes back when nobody is left to write


def test_row_24_a_job_of_a_sweep_that_is_gone_has_all_the_time_it_needs_to_end_its_run():
    worker = textwrap.dedent("""
        import signal, sys, time
        from pipeline.running import sweep

        def job(number):  # as train's: its signal ends it, and it says so to an MLflow that takes its time
            told = []
            signal.signal(signal.SIGTERM, lambda *_: told.append(1))
            print("started", number, flush=True)
            while not told:
                time.sleep(0.01)
            time.sleep(0.25)
            print("told", len(told), flush=True)

        sweep.LOOK = 0.1
        sweep._end_with_the_sweep()
        job(1)
        job(2)  # which the worker had been given already
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(900)
    """)
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {worker!r}]); time.sleep(900)"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.kill()
    killed = time.monotonic()
    assert process.stdout.read().split("\n") == ["told 1", "started 2", "told 1", ""]
    assert time.monotonic() - killed < 10


def test_row_24_killed_while_mlflow_is_told_a_run_is_told_again_and_not_trained_again(project, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Store, "log_files", cut)
        train.main(composed("train", *TINY))
    assert len(runs("KILLED")) == 1
    train.main(composed("train", *TINY))
    (finished,) = runs("FINISHED")
    assert epochs(finished.info.run_id) == [1, 2, 3]
    assert not runs("KILLED")


def test_row_24_what_is_killed_after_a_runs_end_leaves_no_checkpoint(project, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(Checkpoints, "remove", lambda self: None)
        train.main(composed("train", *TINY))
    assert list(Path("checkpoints").glob("*/"))
    train.main(composed("train", *TINY))
    assert len(runs("FINISHED")) == 1
    assert not list(Path("checkpoints").glob("*/"))


def test_row_25_two_sweeps_in_the_same_second_train_each_point_once_in_a_folder_of_its_own(start):
    points = (*TINY[:4], "epochs=2", "seed=0,1,0")  # one name, two points, one of them twice
    processes = [start(*points) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0], Path("said").read_text()
    finished = {run.info.run_id for run in runs("FINISHED")}
    assert len(finished) == 2
    folders = [json.loads(file.read_text())["run_id"] for file in Path("multirun").glob("*/train/run.json")]
    assert sorted(folders) == sorted(finished)
    assert all(epochs(run_id) == [1, 2] for run_id in finished)


def test_row_19_a_model_too_large_for_memory_fails_and_the_others_are_trained(project, monkeypatch, capfd):
    layers = "model.build.layers=[flatten,{dense: 100000000000}],[flatten]"  # 2.8 PB of weights
    code, _, err = shell(monkeypatch, capfd, "train", "-m", "model=model_2_best", layers, *TINY[2:])
    assert code == 1
    (failed,), (_,) = runs("FAILED"), runs("FINISHED")
    assert "out of memory with model=model_2_best and batch_size=8; lower batch_size" in failed.data.tags["error"]
    (line,) = [line for line in err.splitlines() if line.startswith("  failed: ")]
    assert "out of memory" in line and "dense:100000000000" in line


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its address space, which Linux alone obeys")
def test_row_19_memory_that_runs_out_in_the_middle_fails_the_run_and_the_others_are_trained(project):
    script = """
        import resource
        from pathlib import Path
        from pipeline import train
        from pipeline.learning import fit
        from pipeline.running import cli

        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        whole_fit = fit.fit

        def starved(self, logs=None):
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20, unlimited[1]))

        def fed(*arguments):
            try:
                whole_fit(*arguments)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, unlimited)

        fit._Epochs.on_test_begin = starved
        train.fit = fed
        cli.run("train")
    """
    # validated 40 images at a time, whose first layer takes 350 MB; trained on 8
    layers = "model.build.layers=[{conv: 1024},pool,pool,pool,flatten],[flatten]"
    command = [sys.executable, "-c", textwrap.dedent(script), "-m", "model=model_2_best", layers, *TINY[2:]]
    # oneDNN, which TensorFlow uses on some CPUs, ends the process instead when it gets no memory.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_ENABLE_ONEDNN_OPTS": "0"}
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    (failed,), (_,) = runs("FAILED"), runs("FINISHED")
    assert "out of memory with model=model_2_best and batch_size=8" in failed.data.tags["error"]
    assert "1 done, 0 running, 1 failed, 0 left" in ended.stderr


def test_what_a_failed_job_held_is_free_for_the_next(tmp_path, monkeypatch):
    class Model:
        pass

    held = []

    def job():
        model = Model()
        held.append(weakref.ref(model))
        model.itself = model
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("too large") from error

    monkeypatch.setenv(sweep.LOG_VARIABLE, str(tmp_path / "log"))
    (tmp_path / "log").write_text(json.dumps({"jobs": 1, "time": time.time()}) + "\n")
    failed = JobReturn(status=JobStatus.FAILED)
    try:
        job()
    except ValueError as error:
        failed.return_value = error
    gc.collect()
    assert held[0]() is not None, "the test shows nothing"
    config = OmegaConf.create({"hydra": {"job": {"num": 0}, "overrides": {"task": ["seed=0"]}}})
    sweep.Overview().on_job_end(config, failed)
    assert held[0]() is None
    assert sweep.failures(sweep.read_log(), failed._return_value) == ["seed=0: ValueError: too large"]


def test_a_sweep_of_any_step_names_each_failure_and_refuses_one_output_for_several(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = shell(monkeypatch, capfd, "describe", "-m", "run=one,two")
    assert code == 1 and "pipeline.describe: sweep: 0 done, 0 running, 2 failed, 0 left" in err
    assert all(
        f"failed: run={name}: UserError: run={name}: no finished training there" in err for name in ("one", "two")
    )
    code, _, err = shell(monkeypatch, capfd, "describe", "-m", "run=one,two", "output=card.md")
    assert code == 2 and "output=card.md: 2 jobs of the sweep would write it" in err and "failed" not in err


def test_a_job_waits_for_a_server_once_another_of_its_sweep_has_ended(monkeypatch, tmp_path):
    monkeypatch.setenv(sweep.LOG_VARIABLE, str(tmp_path / "log"))
    lines = [{"jobs": 2, "time": 0}, entry(0, "running", 0)]
    for states in (lines, [*lines, entry(0, "done", 1), entry(1, "running", 1)]):
        (tmp_path / "log").write_text("".join(f"{json.dumps(each)}\n" for each in states))
        assert sweep.another_ended() is (states is not lines)

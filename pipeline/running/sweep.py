"""A sweep's overview: what is done, running, failed and left, and each failure at the end; first, its jobs are checked.

A Hydra callback of `python -m pipeline.<step> -m ...`. Jobs may run in processes of their own, so each appends its line
to one file, whose path travels to them in the environment.
"""

import gc
import json
import logging
import os
import signal
import tempfile
import threading
import time
import traceback
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline.running.check import check
from pipeline.running.cores import cores
from pipeline.running.errors import UserError

log = logging.getLogger(__name__)

LOG_VARIABLE = "PIPELINE_SWEEP_LOG"
LOOK = 1  # seconds between two looks of a worker at whether its sweep is still there
SKIPPED = "finished before"  # what a job returns that had nothing to do


class Refused(BaseException):
    """Carries its cause out of a callback of Hydra's, which turns an Exception raised there into a warning."""


class Overview(Callback):
    """Checks and counts the jobs of a multirun. Also shares the cores out among jobs that run side by side."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            jobs = check_jobs(config)
        except Exception as error:
            raise Refused from error
        descriptor, path = tempfile.mkstemp(prefix="sweep-", suffix=".jsonl")
        os.close(descriptor)
        os.environ[LOG_VARIABLE] = path
        _append({"jobs": jobs, "time": time.time(), "pid": os.getpid()})
        # Without this every one of N jobs on N cores starts N threads, and they fight.
        side_by_side = config.hydra.launcher.get("n_jobs", 1)
        if side_by_side != 1:
            threads = max(1, cores() // side_by_side) if side_by_side > 0 else 1
            for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
                os.environ.setdefault(variable, str(threads))

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if LOG_VARIABLE in os.environ:
            if os.getppid() == read_log()[0]["pid"]:
                _end_with_the_sweep()
            _append(_entry(config, "running"))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if LOG_VARIABLE not in os.environ:
            return
        entry = _entry(config, "done")
        if job_return.status is not JobStatus.COMPLETED:
            error = job_return._return_value  # the public property raises it
            entry |= {"state": "failed", "error": one_line(error)}
            _let_go(error)
        elif job_return.return_value == SKIPPED:
            entry["skipped"] = True
        _append(entry)
        log.info("%s", overview(read_log()))


def check_jobs(config: DictConfig) -> int:
    """How many jobs the sweep of `config` has: those of its experiment file times those of the command line.

    UserError, before any of them begins, for one whose values cannot be, and where several have the same `output`.
    """
    loader = GlobalHydra.instance().config_loader()
    params = config.hydra.sweeper.get("params") or {}
    given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # ${...} is for each job to resolve
    arguments = [f"{key}={value}" for key, value in params.items()] + given
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    outputs: Counter[Path] = Counter()
    for number, overrides in enumerate(jobs):
        job = loader.load_sweep_config(config, overrides)
        with open_dict(job):
            job.hydra.job.num = number  # as the launcher will; `output` may ask for it
        HydraConfig.instance().set_config(job)
        check(config.hydra.job.config_name, job)
        if job.get("output"):
            outputs[Path(job.output)] += 1
    for output, count in outputs.items():
        if count > 1:
            raise UserError(
                f"output={output}: {count} jobs of the sweep would write it, each over the one before; leave it out, "
                "or say in it what differs, such as 'output=runs/${model.name}_${seed}'"
            )
    return len(jobs)


def overview(entries: list[dict[str, Any]]) -> str:
    """One line from the log's entries: `sweep: 12 done, 2 running, 1 failed, 81 left, expected end 15:40`.

    The end is estimated from how long the jobs took that trained to their end, and how many run side by side: what
    had FINISHED before, or fails at once, says nothing of how long the others take.
    """
    jobs, now = entries[0]["jobs"], entries[-1]["time"]
    last = {entry["job"]: entry for entry in entries[1:]}
    started = {entry["job"]: entry["time"] for entry in entries[1:] if entry["state"] == "running"}
    states = [entry["state"] for entry in last.values()]
    count = {state: states.count(state) for state in ("done", "running", "failed")}
    left = jobs - len(states)
    line = "sweep: " + ", ".join(f"{number} {state}" for state, number in count.items()) + f", {left} left"
    trained = [job for job, entry in last.items() if entry["state"] == "done" and not entry.get("skipped")]
    unfinished = left + count["running"]
    if trained and unfinished:
        mean = sum(last[job]["time"] - started[job] for job in trained) / len(trained)
        spent = sum(now - started[job] for job, entry in last.items() if entry["state"] == "running")
        lanes = min(count["running"] + 1, unfinished)  # the job that has just ended makes room for another
        line += f", expected end {_when(now + max(0, mean * unfinished - spent) / lanes, now)}"
    return line


def _when(moment: float, now: float) -> str:
    """The time of day, and the date where it is not today's."""
    day, today = (time.strftime("%Y-%m-%d", time.localtime(each)) for each in (moment, now))
    clock = time.strftime("%H:%M", time.localtime(moment))
    return clock if day == today else f"{day} {clock}"


def failures(entries: list[dict[str, Any]], error: Exception) -> list[str]:
    """A line for each failed job, its overrides and its error; `error` is what ended the sweep.

    That is the first failure again, or the death of a worker, as when the system ran out of memory: then a line says
    so, and one for each job that was cut off by it.
    """
    failed = [entry for entry in entries[1:] if entry["state"] == "failed"]
    lines = [f"{' '.join(entry['overrides'])}: {entry['error']}" for entry in failed]
    if one_line(error) in {entry["error"] for entry in failed}:
        return lines
    last = {entry["job"]: entry for entry in entries[1:]}
    cut_off = [entry for entry in last.values() if entry["state"] == "running"]
    return [*lines, one_line(error), *(f"{' '.join(entry['overrides'])}: cut off by that" for entry in cut_off)]


def one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def read_log() -> list[dict[str, Any]]:
    """The entries of this sweep so far; empty when no sweep was started."""
    path = os.environ.get(LOG_VARIABLE)
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()] if path else []


def another_ended() -> bool:
    """Whether this is a job of a sweep of which another has ended."""
    return any(entry["state"] != "running" for entry in read_log()[1:])


def forget_log() -> None:
    """Remove this sweep's log, if one was started: what it said has been shown."""
    if path := os.environ.pop(LOG_VARIABLE, None):
        Path(path).unlink(missing_ok=True)


@cache
def _end_with_the_sweep() -> None:
    """End this worker, as by `kill`, when the sweep that started it is gone.

    Else it would stay for good and keep its memory, a GPU's above all, from the sweep that is started again. The first
    signal ends its job, and a second one, sent once that job has ended, the worker. The second never comes earlier: a
    job may be telling MLflow of its end.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        signalled: set[Any] = set()
        while True:  # each job has a handler of its own for the signal, and puts back the worker's at its end
            if (handler := signal.getsignal(signal.SIGTERM)) not in signalled:
                signalled.add(handler)
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(LOOK)

    threading.Thread(target=watch, daemon=True).start()


def _entry(config: DictConfig, state: str) -> dict[str, Any]:
    hydra = config.hydra
    return {"job": hydra.job.num, "state": state, "time": time.time(), "overrides": list(hydra.overrides.task)}


def _let_go(error: BaseException | None) -> None:
    """Free what a failed job held, as a model that was too large, for the next one.

    Hydra keeps the error to the end of the sweep, and with it every frame that it went through.
    """
    seen: set[int] = set()  # an error raised from its own cause's handler is in a circle with it
    while error and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()


def _append(entry: dict[str, Any]) -> None:
    # One short write to a file opened for appending is not interleaved with another process's.
    with Path(os.environ[LOG_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")

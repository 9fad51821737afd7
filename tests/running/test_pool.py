"""Worker processes: results in order, none left behind, and one message however they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pipeline.running.errors import UserError
from pipeline.running.pool import in_processes

BUSY = """
import time
from pipeline.running.pool import in_processes
with in_processes(time.sleep, [0, 0, 60, 60, 60, 60], 2) as done:
    next(done), next(done)
    print("begun", flush=True)
    {then}
"""
HELD_BACK = """
import multiprocessing, os, signal, time
from pipeline.running.pool import in_processes
with in_processes(time.sleep, [0, 0, 1, 1], 2) as done:
    next(done), next(done)
    print("begun", flush=True)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
    list(done)
"""
WRITING = BUSY.replace("time.sleep, [0, 0, 60, 60, 60, 60]", 'b"".ljust, [1, 1] + [1 << 26] * 99')


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_the_processes_end_with_the_last(workers):
    with in_processes(abs, range(-5, 1), workers) as done:
        assert list(done) == [5, 4, 3, 2, 1, 0]
        assert not multiprocessing.active_children()


def test_a_killed_worker_is_told_in_one_line():
    with (
        pytest.raises(UserError, match="a worker process was killed, probably for memory; free some and run again"),
        in_processes(time.sleep, [0, 60], 2) as done,
    ):
        next(done)
        for worker in multiprocessing.active_children():
            worker.kill()
        next(done)


@pytest.mark.parametrize("then", ["next(done)", "time.sleep(60)"])  # waits for a worker, does something of its own
def test_ctrl_c_ends_the_workers_at_once_and_without_a_word_of_theirs(then):
    code, err = ended(BUSY.format(then=then), lambda pid: os.killpg(pid, signal.SIGINT))  # as a terminal does
    assert code == -signal.SIGINT
    assert err.count("Traceback") == 1 and err.endswith("KeyboardInterrupt\n")


def test_workers_do_not_heed_ctrl_c_themselves():
    code, err = ended(HELD_BACK, lambda _: None)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("then", ["next(done)", "time.sleep(60)"])
def test_ctrl_c_while_workers_write_results_ends_them_as_well(then):
    code, err = ended(WRITING.format(then=then), lambda pid: os.killpg(pid, signal.SIGINT))
    assert code == -signal.SIGINT
    assert err.count("Traceback") == 1 and err.endswith("KeyboardInterrupt\n")


def test_a_worker_killed_while_it_writes_a_result_is_told_in_one_line():
    with (
        pytest.raises(UserError, match="a worker process was killed"),
        in_processes(b"".ljust, [1 << 26] * 9, 2) as done,
    ):
        next(done)
        time.sleep(1)  # both write more than a pipe holds, and nobody reads it
        for worker in multiprocessing.active_children():
            worker.kill()
        list(done)


def test_an_error_in_a_worker_is_raised_in_its_turn_and_says_where_it_was():
    with (
        pytest.raises(ZeroDivisionError) as raised,
        in_processes(partial(divmod, 1), [1, 2, 0, 3], 2) as done,
    ):
        assert [next(done), next(done)] == [(1, 0), (0, 1)]
        next(done)
    assert "In a worker process:" in raised.value.__notes__[0] and "work(item)" in raised.value.__notes__[0]
    assert not multiprocessing.active_children()


class Untold(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, what: str, why: str):
        super().__init__(f"{what}: {why}")


def untold(_: object) -> None:
    raise Untold("lost", "never heard of")


@pytest.mark.parametrize(
    ("work", "item", "error"),
    (
        (untold, 1, "lost: never heard of"),
        (open, os.devnull, "cannot pickle '_io.TextIOWrapper' object"),
        (os._exit, 3, "a worker process ended by itself, with status 3"),
    ),
)
def test_what_a_worker_cannot_tell_is_told_all_the_same(work, item, error):
    with pytest.raises((RuntimeError, TypeError), match=error), in_processes(work, [item, item], 2) as done:
        list(done)
    assert not multiprocessing.active_children()


class Unsendable:
    def __reduce__(self):
        raise ValueError("cannot be sent")


@pytest.mark.parametrize("at", [0, 2])  # at once, and once a result has come
def test_an_item_that_cannot_be_sent_ends_the_workers(at):
    items = [1, 2, 3]
    items[at] = Unsendable()
    with pytest.raises(ValueError, match="cannot be sent"), in_processes(abs, items, 2) as done:
        list(done)
    assert not multiprocessing.active_children()


def test_workers_end_with_a_parent_that_is_killed():
    code, _ = ended(BUSY.format(then="next(done)"), lambda pid: os.kill(pid, signal.SIGKILL))
    assert code == -signal.SIGKILL


def ended(script: str, end) -> tuple[int, str]:
    """Exit status and stderr of a script that `end` ends once it has begun. A worker left over would keep them open."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "begun\n"
    end(process.pid)
    try:
        _, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, err

"""Work on many items in processes of its own, which end with this one."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from pipeline.running.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable | None = None  # a worker process's own, set when it starts


@contextmanager
def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, chunksize: int = 1
) -> Iterator[Iterator[Result]]:
    """`work` on each of `items` by `workers` processes, by this one where that is one; yields the results in order.

    `work` must be picklable; it is sent to each process once. What is not done when the block ends is not begun any
    more. UserError if a worker process is killed.
    """
    if workers == 1:
        yield map(work, items)
        return
    # spawn: a process forked from one that runs TensorFlow or threads can hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (work,))
    try:
        # A terminal sends Ctrl-C to the worker processes too. They start with it held back, and are ended below.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            results = pool.map(_do, items, chunksize=chunksize)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield _until_done(results, len(items), pool)
    except BrokenProcessPool:
        raise UserError("a worker process was killed, probably for memory; free some and run again") from None
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _until_done(results: Iterator[Result], count: int, pool: ProcessPoolExecutor) -> Iterator[Result]:
    """The results; the processes end with the last, so that what the block goes on with has their memory."""
    for number, result in enumerate(results, 1):
        if number == count:
            pool.shutdown()
        yield result


def _begin(work: Callable) -> None:
    global _work
    _work = work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for it for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _do(item: Item) -> Result:
    return _work(item)

"""Work on many items in processes of its own, which end with this one.

Each has a pipe of its own, and they share nothing. `concurrent.futures` waits for ever where a process is ended while
it writes a result, since others hold the same pipe open, and where Ctrl-C comes while a future's lock is being taken.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from pipeline.running.errors import UserError
from pipeline.running.signals import undivided

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def in_processes(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Iterator[Result]]:
    """`work` on each of `items` by `workers` processes, by this one where that is one; yields the results in order.

    `work` must be picklable; it is sent to each process once. A process gets its first item at once, the next while a
    result is waited for. What is not done when the block ends is not begun any more. An error of `work` is raised where
    its result would be; UserError if a worker process is killed.
    """
    if workers == 1:
        yield map(work, items)
        return
    crew = _Crew(items)
    try:
        with undivided():
            crew.start(work, workers)
        crew.begin()
        yield crew.results()
    except (KeyboardInterrupt, SystemExit):
        crew.kill()
        raise
    finally:
        crew.dismiss()


class _Crew:
    """Processes that work on items, one at a time each."""

    def __init__(self, items: Sequence):
        self.items = items
        self.begun = 0
        self.processes: dict[Connection, BaseProcess] = {}  # by this end of the pipe to each
        self.at: dict[Connection, int] = {}  # the number of the item that each is at

    def start(self, work: Callable, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # a process forked from one that runs TensorFlow can hang
        resource_tracker.ensure_running()  # begun below, with the first process, it would let Ctrl-C through to all
        # A terminal sends Ctrl-C to the worker processes too. They start with it held back, and are killed instead.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(min(workers, len(self.items))):
                ours, theirs = context.Pipe()
                with theirs:  # closed here, so that the end of the process is the end of the pipe
                    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
                    process.start()
                self.processes[ours] = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def begin(self) -> None:
        for pipe in self.processes:
            self._hand_out(pipe)

    def results(self) -> Iterator:
        """The results in order; the processes end with the last, so that what follows it has their memory."""
        done = {}
        for number in range(len(self.items)):
            while number not in done:
                for pipe in wait(self.at):
                    done[self.at.pop(pipe)] = self._received(pipe)
                    self._hand_out(pipe)
            if number + 1 == len(self.items):
                self.dismiss()
            result, error = done.pop(number)
            if error is not None:
                raise error
            yield result

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()

    def dismiss(self) -> None:
        """Wait until the processes have ended, after what they are at."""
        for pipe in self.processes:
            pipe.close()
        for process in self.processes.values():
            process.join()

    def _hand_out(self, pipe: Connection) -> None:
        if self.begun == len(self.items):
            pipe.close()
            return
        self.at[pipe], self.begun = self.begun, self.begun + 1
        with suppress(OSError):  # of a process that is gone, which is found when its result is waited for
            pipe.send(self.items[self.at[pipe]])

    def _received(self, pipe: Connection) -> tuple:
        try:
            return pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            self.processes[pipe].join()
            status = self.processes[pipe].exitcode
            self.kill()
            if status < 0:
                raise UserError("a worker process was killed, probably for memory; free some and run again") from None
            raise RuntimeError(f"a worker process ended by itself, with status {status}; see above") from None


def _serve(work: Callable, pipe: Connection) -> None:
    """What a worker process does until its pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(_outcome(work, pipe.recv()))


def _outcome(work: Callable, item: object) -> bytes:
    """A result and None, or None and an error, pickled."""
    try:
        return pickle.dumps((work(item), None))
    except Exception as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        with suppress(Exception):
            outcome = pickle.dumps((None, error))
            pickle.loads(outcome)  # one whose class takes other arguments than it keeps can't be made again
            return outcome
        return pickle.dumps((None, RuntimeError(error.__notes__[-1])))


def _end_with_parent() -> None:
    """Of a parent that was killed a worker would only know after what it is at."""
    multiprocessing.parent_process().join()
    os._exit(1)

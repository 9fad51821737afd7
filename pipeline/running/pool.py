"""Work on many items in processes of its own, which end with this one.

Each has a pipe of its own, and they share nothing. `concurrent.futures` waits for ever where a process is ended while
it writes a result, since others hold the same pipe open, and where Ctrl-C comes while a future's lock is being taken.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from pipeline.running.errors import UserError
from pipeline.running.signals import undivided

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, chunksize: int = 1
) -> Iterator[Iterator[Result]]:
    """`work` on each of `items` by `workers` processes, by this one where that is one; yields the results in order.

    `work` must be picklable; it is sent to each process once. The first `chunksize` items are sent to each at once,
    others while a result is waited for. What is not done when the block ends is not begun any more. An error of `work`
    is raised where its result would be; UserError if a worker process is killed.
    """
    if workers == 1:
        yield map(work, items)
        return
    crew = _Crew([items[start : start + chunksize] for start in range(0, len(items), chunksize)])
    try:
        with undivided():
            crew.start(work, workers)
        yield crew.results()
    except (KeyboardInterrupt, SystemExit):
        crew.kill()
        raise
    finally:
        crew.dismiss()


class _Crew:
    """Processes that work on chunks of items."""

    def __init__(self, chunks: Sequence[Sequence]):
        self.chunks = chunks
        self.begun = 0
        self.processes = []
        self.pipes: dict[Connection, int] = {}  # to those at work, and the number of the chunk each is at

    def start(self, work: Callable, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # a process forked from one that runs TensorFlow can hang
        resource_tracker.ensure_running()  # begun below, with the first process, it would let Ctrl-C through to all
        # A terminal sends Ctrl-C to the worker processes too. They start with it held back, and are killed instead.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(min(workers, len(self.chunks))):
                ours, theirs = context.Pipe()
                with theirs:  # closed here, so that the end of the process is the end of the pipe
                    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
                    process.start()
                self.processes.append(process)
                self._hand_out(ours)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def results(self) -> Iterator:
        """The results in order; the processes end with the last, so that what follows it has their memory."""
        done = {}
        for number in range(len(self.chunks)):
            while number not in done:
                self._wait(done)
            if number + 1 == len(self.chunks):
                self.dismiss()
            outcome = done.pop(number)
            if isinstance(outcome, Exception):
                raise outcome
            yield from outcome

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def dismiss(self) -> None:
        """Wait until the processes have ended, after what they are at."""
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join()

    def _wait(self, done: dict) -> None:
        for pipe in wait(self.pipes):
            try:
                outcome = pipe.recv()
                done[self.pipes.pop(pipe)] = outcome
                self._hand_out(pipe)
            except (EOFError, OSError):
                self.kill()
                raise UserError("a worker process was killed, probably for memory; free some and run again") from None

    def _hand_out(self, pipe: Connection) -> None:
        if self.begun == len(self.chunks):
            pipe.close()
        else:
            with suppress(BrokenPipeError):  # of a process that is gone, which is found when its result is waited for
                pipe.send(self.chunks[self.begun])
            self.pipes[pipe] = self.begun
            self.begun += 1


def _serve(work: Callable, pipe: Connection) -> None:
    """What a worker process does until its pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_outcome(work, pipe.recv()))


def _outcome(work: Callable, chunk: Sequence) -> list | Exception:
    try:
        return [work(item) for item in chunk]
    except Exception as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return error


def _end_with_parent() -> None:
    """Of a parent that was killed a worker would only know after what it is at."""
    multiprocessing.parent_process().join()
    os._exit(1)

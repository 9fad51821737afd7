"""When SIGTERM and Ctrl-C may end the work: between two pieces of it, never inside one that is `undivided`."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, with exit status 143, so that what the block opened is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only a main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undivided() -> Iterator[None]:
    """SIGTERM and Ctrl-C wait for the end of the block; a second Ctrl-C does not.

    For a few milliseconds in a library that is not written to be interrupted anywhere: SQLAlchemy then keeps its
    transaction open and SQLite's database locked, against this same process too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def hold(number: int, frame: object) -> None:
        if number == signal.SIGINT and number in came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)

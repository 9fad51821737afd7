"""Work over many items in shards, on all cores, that a killed run resumes from.

A shard is a slice of the items and the file of its results. Finished ones lie in a cache folder named by a digest of
all that the results depend on, so that another source, config or code never reads them.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipeline.running.cores import cores
from pipeline.running.errors import UserError
from pipeline.running.files import locked, whole_file
from pipeline.running.progress import progress

Work = Callable[[Sequence, Path], None]  # takes a shard's items and the path of the file to write

_FEW = 4  # so many shards are done sooner than worker processes have started

_work: Work | None = None  # a worker process's own, set when it starts


@contextmanager
def shards(work: Work, parts: list[Sequence], folder: Path, suffix: str, what: str) -> Iterator[Iterator[Path]]:
    """Do `work` on each of `parts`; yields an iterator over the result files, in the order of the parts.

    `work` must be picklable and a pure function of the items. Files already in `folder` are taken as they are; `folder`
    is removed when the block ends well. Another process with the same folder waits until the block has ended.
    UserError if a worker process is killed or the disk is full.
    """
    paths = [folder / f"{number:06d}{suffix}" for number in range(len(parts))]
    with locked(Path(f"{folder}.lock"), f"{what}: another command is at the same images; waiting until it has ended"):
        folder.mkdir(parents=True, exist_ok=True)
        missing = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.exists()]
        total = sum(len(part) for part in parts)
        yield _in_order(work, missing, progress(paths, total, what, step=len(parts[0]) if parts else 1))
        shutil.rmtree(folder, ignore_errors=True)


def slices(items: Sequence, size: int) -> list[Sequence]:
    """`items` cut into parts of `size`, the last one shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def cache_folder(cache: str, step: str, depends_on: dict, modules: Sequence[ModuleType]) -> Path:
    """`<cache>/<step>/<digest>` of what results depend on: plain values and the text of the modules that make them."""
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode())
    for module in modules:
        digest.update(Path(module.__file__).read_bytes())
    return Path(cache, step, digest.hexdigest()[:16])


def _in_order(work: Work, missing: list, paths: Iterable[Path]) -> Iterator[Path]:
    done = _here(work, missing) if len(missing) <= _FEW else _in_processes(work, missing)
    pending = {path for _, path in missing}
    for path in paths:
        while path in pending:
            pending.remove(next(done))
        yield path


def _here(work: Work, missing: list) -> Iterator[Path]:
    for part, path in missing:
        _write(work, part, path)
        yield path


def _in_processes(work: Work, missing: list) -> Iterator[Path]:
    # spawn: a process forked from one that runs TensorFlow or threads can hang
    pool = ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), _begin, (work,))
    try:
        # A terminal sends Ctrl-C to the worker processes too. They start with it held back, and are ended below.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            done = pool.map(_do, *zip(*missing, strict=True))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield from done
    except BrokenProcessPool:
        raise UserError("a worker process was killed, probably for memory; free some and run again to go on") from None
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Work) -> None:
    global _work
    _work = work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for it for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _do(part: Sequence, path: Path) -> Path:
    _write(_work, part, path)
    return path


def _write(work: Work, part: Sequence, path: Path) -> None:
    with whole_file(path) as beside:
        work(part, beside)

"""Work over many items in shards, on all cores, that a killed run resumes from.

A shard is a slice of the items and the file of its results. Finished ones lie in a cache folder named by a digest of
all that the results depend on, so that another source, config or code never reads them.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType

from pipeline.running.cores import cores
from pipeline.running.files import locked, whole_file
from pipeline.running.pool import in_processes
from pipeline.running.progress import progress

Work = Callable[[Sequence, Path], None]  # takes a shard's items and the path of the file to write

_FEW = 4  # so many shards are done sooner than worker processes have started


@contextmanager
def shards(work: Work, parts: list[Sequence], folder: Path, suffix: str, what: str) -> Iterator[Iterator[Path]]:
    """Do `work` on each of `parts`; yields an iterator over the result files, in the order of the parts.

    `work` must be picklable and a pure function of the items. Files already in `folder` are taken as they are; `folder`
    is removed when the block ends well, and those of other digests beside it. Another process with the same folder
    waits until the block has ended. UserError if a worker process is killed or the disk is full.
    """
    paths = [folder / f"{number:06d}{suffix}" for number in range(len(parts))]
    with locked(Path(f"{folder}.lock"), f"{what}: another command is at the same images; waiting until it has ended"):
        folder.mkdir(parents=True, exist_ok=True)
        missing = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.exists()]
        total = sum(len(part) for part in parts)
        said = progress(paths, total, what, step=len(parts[0]) if parts else 1)
        with in_processes(partial(_write, work), missing, cores() if len(missing) > _FEW else 1) as done:
            yield _in_order(said, missing, done)
        shutil.rmtree(folder, ignore_errors=True)
    _forget_others(folder)


def _forget_others(folder: Path) -> None:
    """Remove what commands left that were cut off over another source, config or code, but where one is at work."""
    for other in folder.parent.glob("[0-9a-f]" * 16):
        with suppress(BlockingIOError), locked(Path(f"{other}.lock"), waiting=None):
            shutil.rmtree(other, ignore_errors=True)


def slices(items: Sequence, size: int) -> list[Sequence]:
    """`items` cut into parts of `size`, the last one shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def cache_folder(cache: str, step: str, depends_on: dict, modules: Sequence[ModuleType]) -> Path:
    """`<cache>/<step>/<digest>` of what results depend on: plain values and the text of the modules that make them."""
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode())
    for module in modules:
        digest.update(Path(module.__file__).read_bytes())
    return Path(cache, step, digest.hexdigest()[:16])


def _in_order(paths: Iterable[Path], missing: list, done: Iterator[Path]) -> Iterator[Path]:
    pending = {path for _, path in missing}
    for path in paths:
        if path in pending:
            next(done)
        yield path


def _write(work: Work, shard: tuple[Sequence, Path]) -> Path:
    part, path = shard
    with whole_file(path) as beside:
        work(part, beside)
    return path

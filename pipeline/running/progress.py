"""Progress of long work: a bar on a terminal, one plain line for about every tenth of it elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, what: str, unit: str = "img", step: int = 1) -> Iterator[Item]:
    """Yield `items` unchanged while showing how far they got; each item stands for `step` of `total` units."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit=unit) as bar:
            for item in items:
                yield item
                bar.update(min(step, total - bar.n))
        return
    said = -1
    for done, item in enumerate(items, 1):
        yield item
        tenth = min(done * step, total) * 10 // max(total, 1)
        if tenth > said:
            said = tenth
            print(f"{what}: {min(done * step, total):,} of {total:,} {unit}", file=sys.stderr, flush=True)

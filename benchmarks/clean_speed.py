"""Images a second that cleaning looks at and resizing resizes, against reading and decoding alone.

python benchmarks/clean_speed.py --source data/sample       # or any folder or .zip; prints JSON, then a table

All three do the same images in the same worker processes, one for each core, that are started and warm before; they
take turns, so that whatever else the machine does slows all of them. A ratio is the median over the rounds.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline import resize
from pipeline.images import survey
from pipeline.images.decode import Decoded, decode
from pipeline.images.shards import slices
from pipeline.images.source import Source, open_source
from pipeline.running.cli import CONF
from pipeline.running.cores import cores


def decode_alone(raw: Source, max_pixels: int, ids: list[str], path: Path) -> None:
    for id in ids:
        decode(raw.read(id), max_pixels)


_works = {}  # a worker process's own, by name, set when it starts: each opens the .zip once, as in the pipeline


def begin(works: dict) -> None:
    _works.update(works)


def do(name: str, ids: list[str], path: Path) -> None:
    _works[name](ids, path)


def seconds(pool: ProcessPoolExecutor, name: str, parts: list[list[str]], folder: Path) -> float:
    """Wall time of one of the works on all parts."""
    started = time.perf_counter()
    list(pool.map(partial(do, name), parts, [folder / f"{number}.npy" for number in range(len(parts))]))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="data/sample")
    parser.add_argument("--images", type=int, default=12_000, help="at most so many, evenly from the sorted ids")
    parser.add_argument("--shard", type=int, default=200, help="images a process does at a time")
    parser.add_argument("--rounds", type=int, default=7, help="of each, in turn, after one to warm up")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        looks = OmegaConf.to_container(compose("clean", ["data=own"]).looks)
        size = compose("resize", ["data=own", "channels=rgb"]).size
    raw = open_source(arguments.source)
    ids = raw.ids()[:: -(-len(raw.ids()) // arguments.images)]
    ids = [id for id in ids if isinstance(decode(raw.read(id), looks["max_pixels"]), Decoded)]
    works = {
        "decode": partial(decode_alone, raw, looks["max_pixels"]),
        "clean": partial(survey.look, raw, looks),
        "resize": partial(resize.stack, raw, looks["max_pixels"], size, 3),
    }
    parts, times = slices(ids, arguments.shard), {name: [] for name in works}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), begin, (works,)) as pool,
    ):
        for turn in range(arguments.rounds + 1):
            for name in works:
                took = seconds(pool, name, parts, Path(folder))
                if turn:
                    times[name].append(took)
    table = []
    for name in works:
        ratio = statistics.median(alone / took for alone, took in zip(times["decode"], times[name], strict=True))
        speed = len(ids) / statistics.median(times[name])
        table.append({"what": name, "img_s": round(speed), "of_decoding": round(ratio, 3)})
        print(json.dumps(table[-1] | {"images": len(ids), "rounds": arguments.rounds, "cores": cores()}))
    print(f"\n{arguments.source}: {len(ids):,} images, {arguments.rounds} rounds, {cores()} cores")
    for row in table:
        print(f"{row['what']:8} {row['img_s']:8,} img/s   {row['of_decoding']:6.3f} of decoding alone")


if __name__ == "__main__":
    main()

"""Images a second that cleaning looks at and resizing resizes, against reading and decoding alone.

python benchmarks/clean_speed.py --source data/sample       # or any folder or .zip; prints JSON, then a table

decode: one image after the other, read and decoded. blocks: the same in blocks, as cleaning and resizing do it, which
is faster; they are measured against both. Each worker process, one for each core, does a shard of the same images in
all four ways, one way after the other, so that whatever else the machine does slows all of them. Shards are as large as
the steps make them and their files are new. A ratio is of the summed times of a round, the median over the rounds.
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
from pipeline.images.blocks import decoded_blocks
from pipeline.images.decode import Decoded, decode
from pipeline.images.facts import pixel_hash
from pipeline.images.layout import layout_of
from pipeline.images.shards import slices
from pipeline.images.source import Source, open_source
from pipeline.running.cli import CONF
from pipeline.running.cores import cores


def decode_alone(raw: Source, max_pixels: int, ids: list[str], path: Path) -> None:
    for id in ids:
        decode(raw.read(id), max_pixels)


def decode_in_blocks(raw: Source, max_bytes: int, max_pixels: int, ids: list[str], path: Path) -> None:
    for _ in decoded_blocks(raw, ids, max_bytes, max_pixels):
        pass


_works = {}  # a worker process's own, by name, set when it starts: each opens the .zip once, as in the pipeline


def begin(works: dict) -> None:
    _works.update(works)


def seconds(cleaned: list[list[str]], path: Path) -> dict[str, float]:
    """Wall time of each of the works on a shard, of whose images resizing takes the pixels' hash too."""
    taken, ids = {}, [id for id, _ in cleaned]
    for name, work in _works.items():
        path.unlink(missing_ok=True)
        given = cleaned if name == "resize" else ids
        started = time.perf_counter()
        work(given, path)
        taken[name] = time.perf_counter() - started
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="data/sample")
    parser.add_argument("--images", type=int, default=20_000, help="at most so many, evenly from the sorted ids")
    parser.add_argument("--rounds", type=int, default=7, help="after one to warm up")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cleaning = compose("clean", ["data=own"])
        resizing = compose("resize", ["data=own", "channels=rgb"])
    looks = OmegaConf.to_container(cleaning.looks)
    caps = looks["max_bytes"], looks["max_pixels"]
    raw = open_source(arguments.source, layout_of(cleaning.data))
    ids = raw.ids()[:: -(-len(raw.ids()) // arguments.images)]
    decoded = ((id, decode(raw.read(id), looks["max_pixels"])) for id in ids)
    cleaned = [[id, pixel_hash(image.image)] for id, image in decoded if isinstance(image, Decoded)]
    works = {
        "decode": partial(decode_alone, raw, looks["max_pixels"]),
        "blocks": partial(decode_in_blocks, raw, *caps),
        "clean": partial(survey.look, raw, looks),
        "resize": partial(resize.stack, raw, *caps, resizing.size, resizing.channels.count),
    }
    parts, times = slices(cleaned, resizing.shard), {name: [] for name in works}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), begin, (works,)) as pool,
    ):
        paths = [Path(folder, str(number)) for number in range(len(parts))]
        for turn in range(arguments.rounds + 1):
            taken = list(pool.map(seconds, parts, paths))
            if turn:
                for name in works:
                    times[name].append(sum(shard[name] for shard in taken) / cores())
    table = []
    for name in works:
        row = {"what": name, "img_s": round(len(cleaned) / statistics.median(times[name]))}
        ratios = {
            alone: [base / took for base, took in zip(times[alone], times[name], strict=True)]
            for alone in ("decode", "blocks")
        }
        table.append(row | {f"of_{alone}": round(statistics.median(each), 3) for alone, each in ratios.items()})
        about = {"ratios": [round(ratio, 3) for ratio in ratios["decode"]], "images": len(cleaned), "cores": cores()}
        print(json.dumps(table[-1] | about))
    print(f"\n{arguments.source}: {len(cleaned):,} images, {arguments.rounds} rounds, {cores()} cores")
    for row in table:
        shares = f"{row['of_decode']:6.3f} of decoding alone   {row['of_blocks']:6.3f} of decoding in blocks"
        print(f"{row['what']:8} {row['img_s']:8,} img/s   {shares}")


if __name__ == "__main__":
    main()

"""Turn the images that cleaning kept into uint8 arrays of one size that training maps into memory.

Writes data/resized/<channels>/: {train,valid,test}.npy, uint8 [images, size, size, channels], row by row beside
{train,valid,test}.parquet (id, label, gray, mean luminance), and dataset.json, which names the data set and its digest.
"""

import sys
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.images import blocks
from pipeline.images import decode as decoding
from pipeline.images import shape as shaping
from pipeline.images.blocks import decoded_blocks
from pipeline.images.decode import Decoded
from pipeline.images.facts import pixel_hash
from pipeline.images.layout import layout_of
from pipeline.images.shape import resized
from pipeline.images.shards import cache_folder, shards, slices
from pipeline.images.source import Source, open_source
from pipeline.labels import LABELS, SPLITS
from pipeline.learning.arrays import write_images
from pipeline.running import cli
from pipeline.running.cleaned import AGAIN, require_same_choices
from pipeline.running.errors import UserError
from pipeline.running.files import whole_folder, write_json
from pipeline.running.outputs import read_json, read_table

ROWS = pa.schema([("id", pa.string()), ("label", pa.int8()), ("gray", pa.bool_()), ("mean", pa.float32())])


def main(cfg) -> None:
    rows, summary = read_clean(Path(cfg.paths.clean), cfg.data)
    raw = open_source(summary["source"], layout_of(cfg.data))
    caps = int(rows.bytes.max()), int((rows.width * rows.height).max())  # cleaning has let through none larger
    splits = {split: rows[rows.split == split] for split in SPLITS}
    parts = {split: slices(part[["id", "sha256"]].values.tolist(), cfg.shard) for split, part in splits.items()}
    work = partial(stack, raw, *caps, cfg.size, cfg.channels.count)
    depends_on = {"source": raw.fingerprint(), "parts": parts, "size": cfg.size, "channels": cfg.channels.count}
    cache = cache_folder(cfg.paths.cache, "resize", depends_on, [blocks, decoding, shaping, sys.modules[__name__]])
    dataset = {"name": cfg.data.name, "channels": cfg.channels.name, "size": cfg.size, "counts": {}, "digest": {}}
    dataset["made_from"] = summary["digest"]
    sequence = [part for split in SPLITS for part in parts[split]]
    with (
        shards(work, sequence, cache, ".npy", f"resize {cfg.channels.name}") as files,
        whole_folder(Path(cfg.paths.resized, cfg.channels.name), "dataset.json") as folder,
    ):
        for split, part in splits.items():
            shape = (len(part), cfg.size, cfg.size, cfg.channels.count)
            images = map(np.load, islice(files, len(parts[split])))
            dataset["counts"][split] = len(part)
            dataset["digest"][split] = write_images(folder / f"{split}.npy", shape, images, part.label.to_numpy())
            pq.write_table(pa.Table.from_pandas(part, ROWS, preserve_index=False), folder / f"{split}.parquet")
        dataset["labels"] = list(LABELS)
        write_json(folder / "dataset.json", dataset)
    print(f"{cfg.data.name}: {len(rows):,} images as {cfg.size}x{cfg.size}x{cfg.channels.count} arrays")


def read_clean(folder: Path, data: Mapping[str, Any]) -> tuple[pd.DataFrame, dict]:
    """The manifest's kept rows and the summary. UserError unless `data` has been cleaned into `folder`, wholly.

    `data` is a file of conf/data/: with another layout or lists in it than now, what was cleaned is not what it says.
    """
    name = data["name"]
    again = AGAIN.format(name=name)
    columns = [*ROWS.names, "split", "bytes", "width", "height", "sha256", "kept"]
    summary = read_json(folder / "summary.json", again)
    rows = read_table(folder / "manifest.parquet", again, columns=columns)
    if summary["name"] != name:
        raise UserError(f"{folder}: holds data {summary['name']!r}, not {name!r}; {again}")
    require_same_choices(folder, summary, data)
    return rows[rows.kept], summary


def stack(
    raw: Source, max_bytes: int, max_pixels: int, size: int, channels: int, cleaned: list[list[str]], path: Path
) -> None:
    """Write images as a .npy, uint8 [images, size, size, channels].

    cleaned: id and SHA-256 of the pixels of each, as the manifest has them. UserError for one that is another now: it
    would go in under the label of the old one, and one of test so into train.
    """
    pixels = np.empty((len(cleaned), size, size, channels), np.uint8)
    decoded = decoded_blocks(raw, [id for id, _ in cleaned], max_bytes, max_pixels)
    images = (image for block in decoded for image, _ in block)
    for row, (image, (id, sha256)) in enumerate(zip(images, cleaned, strict=True)):
        if not isinstance(image, Decoded):
            raise UserError(f"{raw.path}: {id} is {image.reason} and was not when it was cleaned; clean again")
        if pixel_hash(image.image) != sha256:
            raise UserError(f"{raw.path}: {id} has changed since it was cleaned; clean again")
        pixels[row] = resized(image.image, size, channels)
    with path.open("wb") as file:
        np.save(file, pixels)


if __name__ == "__main__":
    cli.run("resize")

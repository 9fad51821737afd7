"""Look at every image of a source once: its facts as a table and its fingerprints, on all cores, resumable."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather

from pipeline.images import blocks, facts, fingerprints, junk, pixels, source
from pipeline.images import decode as decoding
from pipeline.images.blocks import decoded_blocks
from pipeline.images.shards import cache_folder, shards, slices
from pipeline.images.source import Source

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("bytes", pa.int64()),
        ("format", pa.string()),  # by content
        ("mode", pa.string()),  # Pillow's name of the stored pixels
        ("width", pa.int32()),  # upright
        ("height", pa.int32()),
        ("frames", pa.int32()),  # over 1: animated, the first one is used
        ("gray", pa.bool_()),  # decided from the pixels
        ("sha256", pa.string()),  # hex, of the upright pixels and their shape
        ("phash", pa.uint64()),  # for whoever reads the manifest; near duplicates are told by finer prints
        ("mean", pa.float32()),  # of luminance at 48x48, 0 to 255; so are the next three
        ("std", pa.float32()),
        ("spread", pa.int16()),
        ("entropy", pa.float32()),  # bits
        ("placeholder", pa.bool_()),
        ("rejected", pa.string()),  # "" or a reason of pipeline.images.decode, unreadable, too_many_bytes
    ]
)


@contextmanager
def survey(
    raw: Source, ids: list[str], looks: dict, shard: int, cache: str
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """The facts of these images, in their order, and their fingerprints.

    Yields a frame of SCHEMA with split and label, and int8 [ids, views, 256] (zeros where undecodable). looks: the keys
    of `looks` in conf/clean.yaml. What is finished is kept below `cache` until the block ends well.
    """
    depends_on = looks | {"source": raw.fingerprint(), "ids": ids, "shard": shard}
    modules = [source, pixels, blocks, decoding, facts, fingerprints, junk, sys.modules[__name__]]
    folder = cache_folder(cache, "clean", depends_on, modules)
    with shards(partial(look, raw, looks), slices(ids, shard), folder, ".feather", "look at images") as files:
        tables, prints, row = [], np.empty((len(ids), 1 + len(looks["crops"]), fingerprints.SIZE), np.int8), 0
        for file in files:
            table = feather.read_table(file, memory_map=False)
            column = table["prints"].combine_chunks()
            prints[row : row + len(table)] = np.frombuffer(column.buffers()[1], np.int8).reshape(-1, *prints.shape[1:])
            tables.append(table.drop_columns("prints"))
            row += len(table)
        frame = pa.concat_tables(tables).to_pandas(types_mapper=_nullable.get)
        frame["split"] = [raw.places[id].split for id in frame.id]
        frame["label"] = [raw.places[id].label for id in frame.id]
        yield frame, prints


_AT_ONCE = 128  # images whose figures are taken together: so many that they stay in a core's cache

_nullable = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def look(raw: Source, looks: dict, ids: list[str], path: Path) -> None:
    """Write the facts and fingerprints of these images as a Feather file, one row each."""
    records = [
        facts.facts(image, size, looks["gray_tolerance"])
        for block in decoded_blocks(raw, ids, looks["max_bytes"], looks["max_pixels"])
        for image, size in block
    ]
    table = measured(records, ids, looks)
    feather.write_feather(table, path, "uncompressed")  # read once


def measured(records: list[dict], ids: list[str], looks: dict) -> pa.Table:
    """SCHEMA and `prints` (the bytes of a fingerprint) for records of `facts`: what is cheaper for many at once."""
    known = np.array([record["small"] is not None for record in records])
    blank = bytes(facts.SIDE**2)
    small = np.frombuffer(b"".join([record["small"] or blank for record in records]), np.uint8)
    small = small.reshape(-1, facts.SIDE, facts.SIDE)
    parts = [_figures(small[start : start + _AT_ONCE], looks) for start in range(0, len(small), _AT_ONCE)]
    figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    prints = figures.pop("prints")
    columns = {"id": ids}
    for field in list(SCHEMA)[1:]:
        if field.name in figures:
            columns[field.name] = pa.array(figures[field.name].astype(field.type.to_pandas_dtype()), mask=~known)
        else:
            columns[field.name] = pa.array([record[field.name] for record in records], field.type)
    flat = pa.FixedSizeBinaryArray.from_buffers(pa.binary(prints[0].size), len(prints), [None, pa.py_buffer(prints)])
    return pa.table(columns, SCHEMA).append_column("prints", flat)


def _figures(small: np.ndarray, looks: dict) -> dict[str, np.ndarray]:
    """Whatever is taken from uint8 [N, 48, 48] alone, by column of SCHEMA, and prints."""
    found = facts.figures(facts.histograms(small))
    terms = fingerprints.transforms(small, looks["crops"])
    found["phash"] = fingerprints.perceptual_hashes(terms)
    found["placeholder"] = junk.placeholders(small, found["entropy"], found["std"], looks["placeholder"])
    return found | {"prints": fingerprints.fingerprints(terms)}

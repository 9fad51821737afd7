"""Small image trees in the MMAFEDB layout for tests, with faults put in on request, and how to clean them."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import composed
from PIL import Image

from pipeline import clean
from pipeline.images.layout import Layout
from pipeline.labels import FOLDERS, SPLITS

PLAIN = Layout({}, {}, 0, 0)  # folders called as in MMAFEDB


def picture(seed: int, size: int = 48, colour: bool = False) -> Image.Image:
    """A smooth random picture, mode RGB (gray unless `colour`), of its own for each seed."""
    shape = (6, 6, 3) if colour else (6, 6)
    coarse = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).convert("RGB")


def encoded(image: Image.Image, format: str = "JPEG", **options) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def tree(root: Path, per_class: int = 2, seed: int = 0, extra: dict[str, bytes] | None = None) -> Path:
    """Write `per_class` gray JPEG pictures of every class and split below `root`, then the `extra` files by id."""
    for split in SPLITS:
        for folder in sorted(FOLDERS):
            for number in range(per_class):
                seed += 1
                write(root, f"{split}/{folder}/{number}.jpg", encoded(picture(seed)))
    for id, data in (extra or {}).items():
        write(root, id, data)
    return root


def write(root: Path, id: str, data: bytes) -> None:
    path = root / id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def zipped(root: Path, path: Path, prefix: str = "MMAFEDB/") -> Path:
    """A .zip of the tree below `root`, everything below the folder `prefix`."""
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                out.write(file, prefix + file.relative_to(root).as_posix())
    return path


def misname(path: Path, name: str) -> None:
    """Damage a .zip: the name before an entry's bytes is marked as UTF-8 and is none; the list of names stays."""
    with zipfile.ZipFile(path) as opened:
        start = opened.getinfo(name).header_offset
    data = bytearray(path.read_bytes())
    data[start + 7] |= 0x08
    data[start + 30] = 0xFF
    path.write_bytes(data)


def config(root, source, *overrides):
    """The real config, with outputs below `root`."""
    places = [f"paths.{name}={root / name}" for name in ("clean", "resized", "cache")]
    return composed("clean", "data=own", f"source={source}", *places, *overrides)


def cleaned(root, source, *overrides) -> tuple[pd.DataFrame, dict]:
    """Manifest (by id) and summary after cleaning `source` into `root`/clean."""
    clean.main(config(root, source, *overrides))
    manifest = pd.read_parquet(root / "clean" / "manifest.parquet").set_index("id")
    return manifest, json.loads((root / "clean" / "summary.json").read_text())


def digests(folder) -> dict[str, str]:
    """SHA-256 of each file of a folder."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}

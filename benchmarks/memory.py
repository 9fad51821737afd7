"""Resident memory of a training against the size of its data: arrays of random pixels, memory-mapped.

python benchmarks/memory.py            # 10,000 and 130,000 rgb images, prints JSON
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.labels import LABELS, SPLITS

ROOT = Path(__file__).resolve().parents[1]

# One whole epoch reads every image; a small net, so that the reading and not the learning takes the time.
QUICK = ["model=model_2_best", "model.build.layers=[{conv: 8},pool,pool,flatten]", "optimizer=sgd", "epochs=1"]


def write_arrays(folder: Path, images: int) -> None:
    """Arrays as `resize` writes them: `images` random rgb training images, 2,000 in valid and in test."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in SPLITS:
        count = images if split == "train" else 2000
        array = np.lib.format.open_memmap(folder / f"{split}.npy", "w+", np.uint8, (count, 48, 48, 3))
        for start in range(0, count, 10_000):
            array[start : start + 10_000] = generator.integers(0, 256, array[start : start + 10_000].shape, np.uint8)
        array.flush()
        labels = generator.integers(0, len(LABELS), count).astype(np.int8)
        ids = [f"{split}/{row}" for row in range(count)]
        pd.DataFrame({"id": ids, "label": labels, "gray": False}).to_parquet(folder / f"{split}.parquet")
    about = {"name": "sample", "made_from": "", "size": 48, "labels": list(LABELS)}
    about["digest"] = dict.fromkeys(SPLITS, f"random-{images}")
    (folder / "dataset.json").write_text(json.dumps(about))


def peak_memory(folder: Path, overrides: list[str]) -> float:
    """Peak resident memory in GiB of one training in `folder`, mapped pages of the arrays included."""
    command = [sys.executable, "-m", "pipeline.train", *overrides]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit((folder / "log").read_text())
    return usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 130_000])
    parser.add_argument("overrides", nargs="*", default=QUICK, help="of pipeline.train")
    arguments = parser.parse_args()
    for images in arguments.images:
        with tempfile.TemporaryDirectory() as name:
            write_arrays(Path(name) / "data/resized/rgb", images)
            size = (Path(name) / "data/resized/rgb/train.npy").stat().st_size / 2**30
            figure = {"images": images, "arrays_gib": round(size, 2)}
            print(json.dumps(figure | {"peak_gib": round(peak_memory(Path(name), arguments.overrides), 2)}), flush=True)


if __name__ == "__main__":
    main()

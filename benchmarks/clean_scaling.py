"""Time and peak memory of cleaning against the number of images: is twice the data twice the work?

python benchmarks/clean_scaling.py                          # 10k, 30k, 100k, 300k; prints JSON, then a table
python benchmarks/clean_scaling.py --sizes 10000 30000      # shorter

Makes a .zip of that many smooth random pictures, each of its own, two in a hundred of them again as a near duplicate,
and cleans it as `python -m pipeline.clean` does, in a process of its own. Memory is the largest sum over that process
and its workers of what each holds (proportional set size, Linux only), read four times a second.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from PIL import Image

from pipeline import clean
from pipeline.labels import FOLDERS
from pipeline.running.cli import CONF
from pipeline.running.cores import cores

SHARES = {"train": 0.73, "valid": 0.14, "test": 0.13}  # as in MMAFEDB


def write_zip(path: Path, images: int) -> None:
    """A .zip in the MMAFEDB layout; every 50th picture shows the one before it, recompressed."""
    generator, folders = np.random.default_rng(0), sorted(FOLDERS)
    splits = generator.choice(list(SHARES), images, p=list(SHARES.values()))
    with zipfile.ZipFile(path, "w") as out:
        for number in range(images):
            again = number % 50 == 49
            if not again:
                coarse = Image.fromarray(generator.integers(0, 256, (9, 9), np.uint8))
                picture = coarse.resize((48, 48), Image.Resampling.BICUBIC)
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=50 if again else 85)
            out.writestr(f"{splits[number]}/{folders[number % len(folders)]}/{number:07}.jpg", file.getvalue())


def clean_timed(source: str, folder: str) -> dict[str, float]:
    """Seconds of the whole of cleaning, and of looking at images, judging (both searches) and the gate in it."""
    taken = {}

    def timed(name: str) -> None:
        plain = getattr(clean, name)

        def measured(*arguments, **options):
            started = time.perf_counter()
            try:
                return plain(*arguments, **options)
            finally:
                taken[name] = taken.get(name, 0.0) + time.perf_counter() - started

        setattr(clean, name, measured)

    for name in ("judge", "gate", "sheets"):
        timed(name)
    places = [f"paths.{place}={folder}/{place}" for place in ("clean", "cache")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("clean", ["data=own", f"source={source}", *places])
    started = time.perf_counter()
    clean.main(cfg)
    total = time.perf_counter() - started
    return {"seconds": total, "look_seconds": total - sum(taken.values())} | {f"{k}_seconds": taken[k] for k in taken}


def tree_memory(root: int) -> int:
    """Bytes that a process and its descendants hold, what they share counted once."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
    members, before = {root}, 0
    while len(members) > before:
        before = len(members)
        members |= {process for process, parent in parents.items() if parent in members}
    total = 0
    for process in members:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def measure(source: Path, folder: str) -> dict[str, float]:
    """`clean_timed` in a process of its own, and the peak memory of it and its workers in GiB."""
    command = [sys.executable, __file__, "--clean", str(source), "--folder", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.25)

    watching = threading.Thread(target=watch)
    watching.start()
    output, _ = process.communicate()
    watching.join()
    if process.returncode:
        sys.exit(f"cleaning {source} failed: run {' '.join(command)}")
    return json.loads(output.splitlines()[-1]) | {"peak_gib": peak / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000])
    parser.add_argument("--rounds", type=int, default=1, help="of all sizes; the fastest of a size counts")
    parser.add_argument("--clean", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clean:
        print(json.dumps(clean_timed(arguments.clean, arguments.folder)))
        return
    found = {}
    for _ in range(arguments.rounds):
        for size in arguments.sizes:
            with tempfile.TemporaryDirectory() as folder:
                write_zip(Path(folder, "raw.zip"), size)
                row = measure(Path(folder, "raw.zip"), folder)
            print(json.dumps({"images": size} | {name: round(value, 3) for name, value in row.items()}), flush=True)
            if size not in found or row["seconds"] < found[size]["seconds"]:
                found[size] = row
    sizes = np.array(list(found))
    times, peaks = (np.array([row[name] for row in found.values()]) for name in ("seconds", "peak_gib"))
    exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    slope, start = np.polyfit(sizes, peaks, 1)
    million = start + slope * 1_000_000
    print(json.dumps({"exponent": round(exponent, 3), "peak_gib_of_1m": round(million, 2), "cores": cores()}))
    print(f"\n{arguments.rounds} rounds, {cores()} cores")
    for size, row in found.items():
        speed = size / row["seconds"]
        print(f"{size:9,} images {row['seconds']:8.1f} s {speed:8,.0f} img/s {row['peak_gib']:6.2f} GiB at most")
    print(f"time grows with size to the power of {exponent:.2f}; 1,000,000 images would take {million:.2f} GiB")


if __name__ == "__main__":
    main()

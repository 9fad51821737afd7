"""The study's whole grid, 96 points, swept by two joblib workers; one worker and then one sweep are killed part-way.

python benchmarks/sweep_grid.py                              # prints JSON

The points are the study's own (conf/experiment/), shrunk to seconds each: 64 random images, two epochs and a few small
layers in place of each model's. Every sweep that was killed is started again at once, as a user would. Exits with 1
unless the store then holds exactly one FINISHED run of each point, with the metrics of every epoch, none is RUNNING and
no worker of a killed sweep is left.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.labels import LABELS, SPLITS
from pipeline.running.tracking import open_store

EPOCHS = 2
JOBS = 2
SHRUNK = ("data=sample", f"epochs={EPOCHS}", "++model.build.layers=[{conv: 4, padding: valid},pool,pool,flatten]")
LAUNCHER = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={JOBS}")
POINTS = {"study_rgb": 60, "study_grayscale": 36}


def main() -> None:
    root = str(Path(__file__).resolve().parents[1])
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": root}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_arrays(Path("data/resized/rgb"), 3, 64)
        write_arrays(Path("data/resized/grayscale"), 1, 64)
        sweeps = [
            sweep("study_rgb", killed="worker", at=20),
            sweep("study_rgb"),
            sweep("study_grayscale", killed="sweep", at=72),
            sweep("study_grayscale"),
        ]
        time.sleep(30)  # what ends with a sweep has had its time
        found = counts() | {"left_behind": sum(alive(each["group"]) for each in sweeps)}
        os.chdir(root)
    expected = sum(POINTS.values())
    sound = (
        found["finished"] == found["points"] == found["whole"] == found["folders"] == expected
        and not found["running"] + found["failed"] + found["checkpoints"] + found["left_behind"]
        and [each["exit_status"] for each in sweeps] == [1, 0, -signal.SIGKILL, 0]
    )
    print(json.dumps({"expected": expected, "sound": sound, **found, "sweeps": sweeps}, indent=2))
    sys.exit(not sound)


def write_arrays(folder: Path, channels: int, images: int) -> None:
    """Arrays as `resize` writes them: `images` of random pixels in each split, every class in turn."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in SPLITS:
        np.save(folder / f"{split}.npy", generator.integers(0, 256, (images, 48, 48, channels), np.uint8))
        labels = (np.arange(images) % len(LABELS)).astype(np.int8)
        ids = [f"{split}/{row}.jpg" for row in range(images)]
        pd.DataFrame({"id": ids, "label": labels, "gray": False}).to_parquet(folder / f"{split}.parquet")
    about = {
        "name": "sample",
        "made_from": "",
        "size": 48,
        "labels": list(LABELS),
        "digest": {split: f"random-{split}-{images}" for split in SPLITS},
    }
    (folder / "dataset.json").write_text(json.dumps(about))


def sweep(experiment: str, killed: str = "", at: int = 0) -> dict:
    """Run one sweep; with `killed`, SIGKILL the sweep or one of its workers once `at` runs have FINISHED."""
    print(f"{experiment}{f', {killed} to be killed' if killed else ''}", file=sys.stderr, flush=True)
    start, before = time.monotonic(), statuses()["FINISHED"]
    command = [sys.executable, "-m", "pipeline.train", "-m", f"+experiment={experiment}", *SHRUNK, *LAUNCHER]
    with Path("said").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    shown = before
    while process.poll() is None:
        time.sleep(0.2)
        now = statuses()
        if now["FINISHED"] >= shown + 10:
            shown = now["FINISHED"]
            print(f"  {shown} runs finished", file=sys.stderr, flush=True)
        if killed and now["FINISHED"] >= at and now["RUNNING"]:
            os.kill(process.pid if killed == "sweep" else running_worker(), signal.SIGKILL)
            killed = ""
    seconds = round(time.monotonic() - start, 1)
    finished = statuses()["FINISHED"] - before
    if process.returncode not in (0, -signal.SIGKILL):
        print(Path("said").read_text(encoding="utf-8")[-1500:], file=sys.stderr)
    status, group = process.returncode, process.pid
    return {"sweep": experiment, "exit_status": status, "finished": finished, "seconds": seconds, "group": group}


def statuses() -> Counter:
    """How many runs have each status, read beside the sweep's own connections."""
    if not Path("mlruns/mlflow.db").exists():
        return Counter()
    with closing(sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True, timeout=60)) as database:
        try:
            return Counter(dict(database.execute("select status, count(*) from runs group by status").fetchall()))
        except sqlite3.OperationalError:  # the store is just being made
            return Counter()


def running_worker() -> int:
    """The process id of a worker that trains."""
    with closing(sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True, timeout=60)) as database:
        query = "select value from tags join runs using (run_uuid) where status = 'RUNNING' and key = 'pid'"
        return int(database.execute(query).fetchone()[0])


def alive(group: int) -> bool:
    """Whether any process of a sweep's group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def counts() -> dict:
    """What the store and the folders hold in the end."""
    store = open_store("mlruns", "sample", create=False)
    finished = store.finished({})
    epochs = [
        sorted(point.step for point in store.client.get_metric_history(run.info.run_id, "val_accuracy"))
        for run in finished
    ]
    ids = {run.info.run_id for run in finished}
    folders = [json.loads(file.read_text())["run_id"] for file in Path("multirun").glob("*/train/run.json")]
    by_status = statuses()
    return {
        "finished": len(finished),
        "points": len({run.data.tags["config_hash"] for run in finished}),
        "whole": sum(each == list(range(1, EPOCHS + 1)) for each in epochs),
        "folders": len(ids & set(folders)),
        "running": by_status["RUNNING"],
        "failed": by_status["FAILED"],
        "killed": by_status["KILLED"],
        "checkpoints": len(list(Path("checkpoints").glob("*/"))),
    }


if __name__ == "__main__":
    main()

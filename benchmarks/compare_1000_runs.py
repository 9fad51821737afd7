"""How long comparing 1,000 runs of 50 epochs takes. Usage: python benchmarks/compare_1000_runs.py [runs] [epochs]

Makes synthetic runs in a store of its own in a temporary folder, ranks and compares them, each in a process of its own
as a user starts it, and prints JSON: seconds to make the runs, to rank, to compare, and to write the page.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from mlflow.entities import Metric

from pipeline.running import tracking

MODELS = ("model_1_concept", "model_2_best", "model_3_best_nodropout", "model_4_best_nodropout_nobatchn")
OPTIMIZERS = ("adam", "rmsprop", "sgd")
CHANNELS = ("rgb", "grayscale")
BATCH_SIZES = (32, 64, 128, 256, 512)
VALID_IMAGES = 17356


def main(runs: int, epochs: int) -> None:
    root = Path(__file__).resolve().parents[1]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        seconds = {"make": timed(make_runs, f"{folder}/mlruns", runs, epochs)}
        places = [f"paths.tracking={folder}/mlruns", f"paths.reports={folder}/reports"]
        for step in ("rank", "compare", "report"):
            command = [sys.executable, "-m", f"pipeline.{step}", "study=synthetic", *places]
            seconds[step] = timed(subprocess.run, command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    print(json.dumps({"runs": runs, "epochs": epochs, "cores": os.cpu_count(), "seconds": seconds}, indent=2))


def timed(function, *args, **kwargs) -> float:
    start = time.perf_counter()
    function(*args, **kwargs)
    return round(time.perf_counter() - start, 1)


def make_runs(folder: str, runs: int, epochs: int) -> None:
    store, generator = tracking.open_store(folder, "synthetic", create=True), np.random.default_rng(0)
    for number in range(runs):
        model, number_left = MODELS[number % 4], number // 4
        optimizer, number_left = OPTIMIZERS[number_left % 3], number_left // 3
        channels, number_left = CHANNELS[number_left % 2], number_left // 2
        batch_size, seed = BATCH_SIZES[number_left % 5], number_left // 5
        values = {
            "model.name": model,
            "optimizer.name": optimizer,
            "channels.name": channels,
            "batch_size": batch_size,
            "data.name": "synthetic",
            "augment.name": "study",
            "balance.name": f"variant_{seed}",  # an entry of its own, so that 1,000 entries are drawn, not 120
            "epochs": epochs,
            "seed": 0,
        }
        tags = {
            "config_hash": f"{number}",
            "train_digest": "train",
            "valid_digest": "valid",
            "valid_images": VALID_IMAGES,
            "image_size": 48,
            "parameters": 1000,
            "command": f"python -m pipeline.train model={model}",
        }
        run_id = store.start(f"{model}_{optimizer}_{channels}_{batch_size}", values, tags)
        store.client.log_batch(run_id, metrics=history(generator, epochs))
        store.end(run_id, "FINISHED")


def history(generator: np.random.Generator, epochs: int) -> list[Metric]:
    epoch, now = np.arange(1, epochs + 1), int(time.time() * 1000)
    top = generator.normal(0.56, 0.02)
    val_accuracy = top * (1 - np.exp(-epoch / generator.uniform(2, 9))) + generator.normal(0, 0.003, epochs)
    curves = {
        "accuracy": np.minimum(val_accuracy * 1.1, 1),
        "loss": 2 * np.exp(-epoch / 30),
        "val_accuracy": val_accuracy,
        "val_loss": 1.2 + 0.01 * epoch,
    }
    best = int(val_accuracy.argmax())
    summary = {"best_val_accuracy": val_accuracy[best], "best_epoch": best + 1.0}
    return [
        Metric(name, float(value), now, step) for name, curve in curves.items() for step, value in enumerate(curve, 1)
    ] + [Metric(name, float(value), now, 0) for name, value in summary.items()]


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:] or (1000, 50)))

"""Seconds that a run of a sweep takes beyond its training steps.

python benchmarks/sweep_overhead.py                          # prints JSON

Runs follow each other in one process, as in a sweep; the first is not counted, since the libraries start in it. What
counts is all that is no epoch, `around`: composing the config, reading the arrays, MLflow, building the model,
checkpoints, writing and logging the finished run; and `first_step`, what the first epoch takes longer than the median of
the others, because TensorFlow traces (and XLA compiles) the graph in it. Ranking is done once for a whole sweep and is
timed apart. The figures are medians.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir
from sweep_grid import write_arrays

from pipeline import rank, train
from pipeline.running.cli import CONF
from pipeline.running.tracking import open_store

EPOCHS = 4
CHOICE = ("data=sample", "optimizer=sgd", "batch_size=32", f"epochs={EPOCHS}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["compact", "model_2_best"])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    root = Path.cwd()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    found: dict = {"runs": arguments.runs, "epochs": EPOCHS}
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(CONF), version_base="1.3"):
        os.chdir(folder)
        write_arrays(Path("data/resized/rgb"), 3, 64)
        for model in arguments.models:
            around, first_step = zip(*[overhead(model, seed) for seed in range(arguments.runs + 1)][1:], strict=True)
            both = [sum(each) for each in zip(around, first_step, strict=True)]
            parts = {"around": around, "first_step": first_step, "both": both}
            found[model] = {name: round(statistics.median(seconds), 2) for name, seconds in parts.items()}
            found[model]["all"] = [round(seconds, 2) for seconds in both]
        started = time.perf_counter()
        rank.main(compose("rank"))
        found["rank"] = round(time.perf_counter() - started, 2)
        os.chdir(root)
    print(json.dumps(found, indent=2))


def overhead(model: str, seed: int) -> tuple[float, float]:
    """Seconds of one training outside its epochs, and how many its first epoch took more than the others."""
    started = time.perf_counter()
    train.main(compose("train", [f"model={model}", f"seed={seed}", *CHOICE]))
    seconds = time.perf_counter() - started
    store = open_store("mlruns", "sample", create=False)
    newest = store.finished({})[0]
    epochs = [point.value for point in store.client.get_metric_history(newest.info.run_id, "epoch_seconds")]
    return seconds - sum(epochs), epochs[0] - statistics.median(epochs[1:])


if __name__ == "__main__":
    main()

"""Seconds that a run of a sweep takes beyond its training steps.

python benchmarks/sweep_overhead.py                          # prints JSON

Runs follow each other in one process, as in a sweep; the first is not counted, since the libraries start in it. What is
no epoch is `run`, once for each (composing the config, reading the arrays, MLflow, building the model, writing and
logging the finished run), or a `checkpoint`, once for each epoch. `first_step` is what the first epoch takes longer
than the median of the others, because TensorFlow traces (and XLA compiles) the graph in it. Ranking is done once for a
whole sweep: `rank`. The figures are medians.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

from hydra import compose, initialize_config_dir
from sweep_grid import write_arrays

from pipeline import rank, train
from pipeline.learning.checkpoint import Checkpoints
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
            parts = [overhead(model, seed) for seed in range(arguments.runs + 1)][1:]
            found[model] = {name: round(statistics.median(part[name] for part in parts), 2) for name in parts[0]}
            found[model]["runs"] = [round(part["run"], 2) for part in parts]
        started = time.perf_counter()
        rank.main(compose("rank"))
        found["rank"] = round(time.perf_counter() - started, 2)
        os.chdir(root)
    print(json.dumps(found, indent=2))


def overhead(model: str, seed: int) -> dict[str, float]:
    """Seconds of one training that are no steps."""
    checkpoints: list[float] = []
    save = Checkpoints.save

    def timed(*arguments) -> None:
        before = time.perf_counter()
        save(*arguments)
        checkpoints.append(time.perf_counter() - before)

    started = time.perf_counter()
    with mock.patch.object(Checkpoints, "save", timed):
        train.main(compose("train", [f"model={model}", f"seed={seed}", *CHOICE]))
    seconds = time.perf_counter() - started
    store = open_store("mlruns", "sample", create=False)
    newest = store.finished({})[0]
    epochs = [point.value for point in store.client.get_metric_history(newest.info.run_id, "epoch_seconds")]
    return {
        "run": seconds - sum(epochs) - sum(checkpoints),
        "checkpoint": statistics.median(checkpoints),
        "first_step": epochs[0] - statistics.median(epochs[1:]),
    }


if __name__ == "__main__":
    main()

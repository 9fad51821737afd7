"""Time of an epoch of training in float32 and in `mixed_bfloat16`, the two in turn within one process.

python benchmarks/precision.py         # prints JSON: ms per image of train, and how many times as fast bfloat16 is

Of all cores and by the clock, float32 first; of the ratios the median, the lowest and the highest. An epoch is as
`pipeline.train` has it: compiled as there (`compact` with XLA in float32, on a CPU without it in bfloat16), images
augmented, then valid, in float32 on either side, of as many images to 100 of train as the real faces have.
"""

import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Arrays
from pipeline.learning.checkpoint import State
from pipeline.learning.fit import compiled_model, fit
from pipeline.running.cli import CONF

VALID = 7  # percent


def random_arrays(folder: Path, images: int) -> Arrays:
    """Random pixels: what they show does not matter to speed."""
    generator = np.random.default_rng(0)
    for name, count in (("train", images), ("valid", images * VALID // 100)):
        np.save(folder / f"{name}.npy", generator.integers(0, 256, (count, 48, 48, 1), np.uint8))
        pd.DataFrame({"label": generator.integers(0, len(LABELS), count)}).to_parquet(folder / f"{name}.parquet")
    return Arrays(folder, folder, "noise", 48, 1, {}, "")


class Training:
    """A training that goes on by an epoch at a time."""

    def __init__(self, arrays: Arrays, *overrides: str):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", ["optimizer=sgd", "channels=grayscale", *overrides])
        self.arrays, self.values, self.state = arrays, OmegaConf.to_container(cfg, resolve=True), State(0, [], [])
        self.model = compiled_model(self.values, arrays)

    def epoch(self) -> np.ndarray:
        """Seconds of all cores and by the clock."""
        values = self.values | {"epochs": self.state.epoch + 1}
        with redirect_stdout(sys.stderr):  # what Keras says of it
            fit(self.model, self.arrays, values, self.state, lambda _: None)
        return np.array([self.state.history[-1][key] for key in ("epoch_cpu_seconds", "epoch_seconds")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["compact", "model_2_best"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=16, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5, help="of an epoch of each, in turn, after one to warm up")
    arguments = parser.parse_args()
    images = arguments.batch_size * arguments.steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = random_arrays(folder, images)
        for model in arguments.models:
            teacher = folder / f"{model}.keras"
            models.save(models.build(OmegaConf.load(CONF / f"model/{model}.yaml"), 48, 1), teacher)
            for taught in ([], [f"teacher={teacher}", "teacher_augmented=true"]):
                of = [f"model={model}", f"batch_size={arguments.batch_size}", *taught]
                sides = [Training(arrays, *of, f"precision={each}") for each in ("float32", "mixed_bfloat16")]
                taken = np.array([[side.epoch() for side in sides] for _ in range(arguments.rounds + 1)])[1:]
                ratios = taken[:, 0] / taken[:, 1]
                figures = {"model": model, "teacher": bool(taught), "rounds": arguments.rounds}
                for at, what in enumerate(("cpu", "clock")):
                    each = np.median(taken[:, :, at], 0) / images
                    figures |= {f"{what}_ms_an_image": (1000 * each).round(2).tolist()}
                    spread = [float(of(ratios[:, at]).round(2)) for of in (np.median, np.min, np.max)]
                    figures |= {f"{what}_times_as_fast": spread}
                print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()

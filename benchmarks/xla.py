"""Training speed of each model with XLA and without, the two in turn within one process.

python benchmarks/xla.py               # prints JSON: images a second, and the ratio; why conf/model/* says jit_compile
"""

import argparse
import json
import statistics
import time

import keras
import numpy as np
from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.running.cli import CONF


def trained_per_second(model: keras.Model, images: np.ndarray, labels: np.ndarray, batch_size: int) -> float:
    """Images a second of one pass over `images`."""
    started = time.perf_counter()
    for start in range(0, len(images), batch_size):
        model.train_on_batch(images[start : start + batch_size], labels[start : start + batch_size])
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["compact", "model_2_best"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="of a pass")
    parser.add_argument("--passes", type=int, default=5, help="of each, in turn, after one to warm up")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    count = arguments.batch_size * arguments.steps
    images = generator.integers(0, 256, (count, 48, 48, 3), np.uint8)
    labels = np.eye(len(LABELS), dtype=np.float32)[generator.integers(0, len(LABELS), count)]
    for name in arguments.models:
        choice = OmegaConf.load(CONF / f"model/{name}.yaml")
        speeds: dict[bool, list[float]] = {False: [], True: []}
        sides = {}
        for xla in speeds:
            sides[xla] = models.build(choice, 48, 3)
            sides[xla].compile("sgd", "categorical_crossentropy", jit_compile=xla)
            trained_per_second(sides[xla], images, labels, arguments.batch_size)
        for _ in range(arguments.passes):
            for xla, model in sides.items():
                speeds[xla].append(trained_per_second(model, images, labels, arguments.batch_size))
        ratio = statistics.median(with_xla / without for without, with_xla in zip(*speeds.values(), strict=True))
        figures = {f"{'xla' if xla else 'plain'}_img_s": round(statistics.median(speeds[xla]), 1) for xla in speeds}
        print(json.dumps({"model": name, **figures, "ratio": round(ratio, 2), "passes": arguments.passes}), flush=True)


if __name__ == "__main__":
    main()

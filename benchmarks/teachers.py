"""Processor time of a training step of `compact` with teachers that are asked about each batch, and without, in turn.

python benchmarks/teachers.py          # prints JSON: seconds of all cores per step, and the ratio to none
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Arrays
from pipeline.learning.earlier import softening
from pipeline.learning.fit import Trained
from pipeline.running.cli import CONF


def compact() -> keras.Model:
    return models.build(OmegaConf.load(CONF / "model/compact.yaml"), 48, 1)


def seconds(model: keras.Model, images: np.ndarray, labels: np.ndarray, steps: int) -> float:
    started = time.process_time()
    for _ in range(steps):
        model.train_on_batch(images, labels)
    return (time.process_time() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=3, help="teachers")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=6, help="of each, in turn, after one step to warm up")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (arguments.batch_size, 48, 48, 1), np.uint8)
    labels = np.eye(len(LABELS), dtype=np.float32)[generator.integers(0, len(LABELS), arguments.batch_size)]
    pupils = [compact()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = Arrays(folder, folder, "noise", 48, 1, {}, "")
        for number in range(arguments.most):
            models.save(compact(), folder / f"{number}.keras")
            teachers = [str(folder / f"{each}.keras") for each in range(number + 1)]
            pupils.append(Trained(compact(), [softening(teachers, 0.9, arrays, "float32")], "float32"))
    taken: list[list[float]] = [[] for _ in pupils]
    for pupil in pupils:
        pupil.compile("sgd", "categorical_crossentropy", jit_compile=True)
        seconds(pupil, images, labels, 1)
    for _ in range(arguments.rounds):
        for pupil, each in zip(pupils, taken, strict=True):
            each.append(seconds(pupil, images, labels, arguments.steps))
    for number, each in enumerate(taken):
        ratio = statistics.median(with_them / without for with_them, without in zip(each, taken[0], strict=True))
        figures = {"teachers": number, "seconds": round(statistics.median(each), 3), "ratio": round(ratio, 2)}
        print(json.dumps(figures | {"rounds": arguments.rounds}), flush=True)


if __name__ == "__main__":
    main()

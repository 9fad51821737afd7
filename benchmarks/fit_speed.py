"""Images a second of `fit` on augmented batches, against `fit` on batches that lie ready in memory, unaugmented.

python benchmarks/fit_speed.py                              # prints JSON, then a table

One compiled model per architecture, trained on blocks of steps from either source in turn. A block's first steps, while
its pipeline starts, are not counted. A ratio is the median over the rounds. That of processor time, which says what
augmentation costs where training fills the cores, is disturbed less by other work on the machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.arrays import Split
from pipeline.learning.batches import training_batches
from pipeline.learning.fit import build_optimizer
from pipeline.running.cli import CONF

WARM = 3  # steps of a block that are not counted


class Clock(keras.callbacks.Callback):
    """Seconds from the end of step WARM of a block to the end of its last: by the clock, and of all threads."""

    def on_train_batch_end(self, batch, logs=None):
        now = np.array([time.perf_counter(), time.process_time()])
        if batch == WARM - 1:
            self.started = now
        self.seconds = now - self.started if batch >= WARM else np.zeros(2)


def random_split(folder: Path, images: int) -> Split:
    """Random pixels: what they show does not matter to speed."""
    generator = np.random.default_rng(0)
    np.save(folder / "train.npy", generator.integers(0, 256, (images, 48, 48, 3), np.uint8))
    labels = generator.integers(0, len(LABELS), images)
    return Split(np.load(folder / "train.npy", mmap_mode="r"), labels, pd.DataFrame({"label": labels}))


def preloaded(split: Split, batch_size: int) -> tf.data.Dataset:
    """The split's whole batches, unaugmented, as tensors, again and again."""
    count = len(split.images) // batch_size
    images = tf.constant(split.images[: count * batch_size].reshape(count, batch_size, *split.images.shape[1:]))
    labels = tf.one_hot(split.labels[: count * batch_size].reshape(count, batch_size), len(LABELS))
    return tf.data.Dataset.from_tensor_slices((images, labels)).repeat()


def compiled(name: str, arguments: argparse.Namespace) -> tuple[keras.Model, dict]:
    """The model as `pipeline.train` compiles it, and its values."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"model={name}", "optimizer=adam", f"batch_size={arguments.batch_size}"])
    values = OmegaConf.to_container(cfg, resolve=True)
    model = models.build(values["model"], 48, 3)
    optimizer = build_optimizer(values["optimizer"], 1, 1)
    xla = values["model"]["jit_compile"]
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=xla)
    return model, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["model_2_best", "compact"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=8, help="that a block takes, about")
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turn, after one to warm up")
    arguments = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as folder:
        split = random_split(Path(folder), 100 * arguments.batch_size)
        for name in arguments.models:
            model, values = compiled(name, arguments)
            sources = {
                "preloaded": preloaded(split, arguments.batch_size),
                "augmented": training_batches(split, arguments.batch_size, values["augment"], False, 0, 0, 10_000),
            }
            times, steps, clock = {source: [] for source in sources}, 2 * WARM, Clock()
            for turn in range(-1, arguments.rounds + 1):
                for source, batches in sources.items():
                    model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[clock], shuffle=False)
                    if turn > 0:
                        times[source].append(clock.seconds / (steps - WARM))
                if turn == -1:  # compiled now; this block of a known speed says how many steps fill the seconds
                    steps = WARM + max(4, int(arguments.seconds / (clock.seconds[0] / (steps - WARM))))
            each = {source: arguments.batch_size / np.median(taken, 0)[0] for source, taken in times.items()}
            ratios = np.array(times["preloaded"]) / np.array(times["augmented"])
            row = {"model": name} | {f"{source}_img_s": round(speed, 1) for source, speed in each.items()}
            ratio, of_processor = np.median(ratios, 0).round(3).tolist()
            table.append(row | {"ratio": ratio, "of_processor_time": of_processor})
            about = {"steps": steps - WARM, "batch_size": arguments.batch_size, "ratios": ratios.round(3).T.tolist()}
            print(json.dumps(table[-1] | about), flush=True)
    print(f"\nbatches of {arguments.batch_size}, {arguments.rounds} rounds")
    for row in table:
        speeds = f"{row['augmented_img_s']:8,.1f} img/s augmented   {row['preloaded_img_s']:8,.1f} preloaded"
        ratios = f"ratio {row['ratio']:.3f}   of processor time {row['of_processor_time']:.3f}"
        print(f"{row['model']:14} {speeds}   {ratios}")


if __name__ == "__main__":
    main()

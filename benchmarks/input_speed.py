"""Images a second of three input pipelines with the study's augmentation (flip, shear 0.2 degrees, zoom 0.8 to 1.2).

python benchmarks/input_speed.py                            # prints JSON, then a table

pipeline: this project's, uint8 arrays and one warp. generator: Keras's ImageDataGenerator from folders, as
the study had it. layers: image_dataset_from_directory and Keras's Random layers. The same drawn-at-random pictures of
48x48 as JPEG files and as arrays. They take turns, an epoch each; a ratio is the median over the rounds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from omegaconf import OmegaConf
from PIL import Image

from pipeline.labels import FOLDERS, LABELS
from pipeline.learning.arrays import Split
from pipeline.learning.batches import training_batches
from pipeline.running.cli import CONF


def write_pictures(folder: Path, images: int) -> Split:
    """Smooth random RGB pictures as JPEG files in class folders; returns what decoding them gives, memory-mapped."""
    generator, folders = np.random.default_rng(0), sorted(FOLDERS)
    pixels = np.lib.format.open_memmap(folder / "train.npy", "w+", np.uint8, (images, 48, 48, 3))
    labels = np.empty(images, np.int64)
    for number in range(images):
        emotion = folders[number % len(folders)]
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
        path = folder / "files" / emotion / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(path, quality=90)
        pixels[number], labels[number] = np.asarray(Image.open(path)), LABELS.index(FOLDERS[emotion])
    pixels.flush()
    return Split(np.load(folder / "train.npy", mmap_mode="r"), labels, pd.DataFrame({"label": labels}))


def seconds(batches: Iterable, images: int) -> float:
    """Wall time until so many images have come."""
    started, seen = time.perf_counter(), 0
    for pictures, _ in batches:
        seen += len(pictures)
        if seen >= images:
            break
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turn, after one to warm up")
    arguments = parser.parse_args()
    count, size = arguments.images // arguments.batch_size * arguments.batch_size, arguments.batch_size
    study = OmegaConf.to_container(OmegaConf.load(CONF / "augment/study.yaml"))
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomShear(study["shear"] / 180, study["shear"] / 180, fill_mode="nearest"),
            keras.layers.RandomZoom((-study["zoom"], study["zoom"]), (-study["zoom"], study["zoom"]), "nearest"),
        ]
    )
    times = {"pipeline": [], "generator": [], "layers": []}
    with tempfile.TemporaryDirectory() as folder:
        split, files = write_pictures(Path(folder), count), str(Path(folder, "files"))
        legacy = ImageDataGenerator(
            rescale=1 / 255, horizontal_flip=True, shear_range=study["shear"], zoom_range=study["zoom"]
        )
        reading = {"labels": "inferred", "label_mode": "categorical", "image_size": (48, 48), "batch_size": size}
        chained = keras.utils.image_dataset_from_directory(files, **reading, seed=0, verbose=False).map(
            lambda images, labels: (layers(images, training=True), labels), num_parallel_calls=tf.data.AUTOTUNE
        )
        sources = {
            "pipeline": lambda turn: training_batches(split, size, study, False, 0, turn, turn + 1),
            "generator": lambda turn: legacy.flow_from_directory(files, (48, 48), batch_size=size),
            "layers": lambda turn: chained.prefetch(tf.data.AUTOTUNE),
        }
        for turn in range(arguments.rounds + 1):
            for name, source in sources.items():
                took = seconds(source(turn), count)
                if turn:
                    times[name].append(took)
    table = []
    for name, taken in times.items():
        ratio = statistics.median(other / own for own, other in zip(times["pipeline"], taken, strict=True))
        table.append({"what": name, "img_s": round(count / statistics.median(taken)), "times_faster": round(ratio, 2)})
        print(json.dumps(table[-1] | {"images": count, "batch_size": size, "rounds": arguments.rounds}))
    print(f"\n{count:,} images, batches of {size}, {arguments.rounds} rounds")
    for row in table:
        print(f"{row['what']:10} {row['img_s']:8,} img/s   pipeline is {row['times_faster']:6.2f} times as fast")


if __name__ == "__main__":
    main()

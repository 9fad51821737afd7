"""Size of every exported format, and how long LiteRT takes for one image in each precision.

python benchmarks/export_formats.py           # prints JSON: megabytes, and milliseconds of one image on one core

Untrained weights: what a model has learnt changes neither. The precisions take turns within a round; the time of one is
the median over rounds of its fastest image of the round, which leaves out what else a busy machine was doing.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from pipeline.export import FORMATS, write_formats
from pipeline.exporting import litert
from pipeline.learning import models
from pipeline.running.cli import CONF


def megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6, 2)


def fastest(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> float:
    """Milliseconds of the fastest of the images, each asked for alone."""
    taken = []
    for image in images:
        started = time.perf_counter()
        predict(image[None])
        taken.append(time.perf_counter() - started)
    return 1000 * min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["compact", "model_2_best"])
    parser.add_argument("--images", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (arguments.images, 48, 48, 3), np.uint8)
    for name in arguments.models:
        model = models.build(OmegaConf.load(CONF / f"model/{name}.yaml"), 48, 3)
        with tempfile.TemporaryDirectory() as folder:
            models.save(model, Path(folder) / "model.keras")
            formats = write_formats(model, Path(folder), 1, FORMATS, images, [1])
            sizes = {
                each: megabytes(path) for each, path in ({"keras": Path(folder) / "model.keras"} | formats).items()
            }
            predictors = {each: litert.predictor(formats[each], arguments.threads) for each in litert.PRECISIONS}
            taken: dict[str, list[float]] = {each: [] for each in predictors}
            for turn in range(arguments.rounds + 1):
                for each, predict in predictors.items():
                    milliseconds = fastest(predict, images)
                    if turn:  # the first warms up
                        taken[each].append(milliseconds)
        times = {each: round(statistics.median(rounds), 2) for each, rounds in taken.items()}
        about = {"threads": arguments.threads, "rounds": arguments.rounds}
        print(json.dumps({"model": name, "megabytes": sizes, "milliseconds": times} | about), flush=True)


if __name__ == "__main__":
    main()

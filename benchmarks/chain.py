"""What finding and cutting out a face costs the reading of it: an exported model on the data set's own crops of faces,
and on the same faces in larger pictures, found, cut out and reduced as the service does.

python benchmarks/chain.py --arrays data/resized/grayscale --exported champion     # prints JSON, a line for each size
python benchmarks/chain.py --sides 48 192 --picture 1.4 1.15                       # of pictures that one face fills

Each image of valid is enlarged to so many pixels a side and laid at a drawn place into a drawn backdrop of three times
that width and height, or so many times as --picture says. No photograph: around the crop there is no hair, neck or
other people, and it is no sharper than its 48 pixels. Counted as found is a face whose middle lies in the middle half
of the crop. Test is not looked at.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from PIL import Image

from pipeline.drawing.camera import backdrop
from pipeline.images.shape import resized
from pipeline.reporting import compare
from pipeline.reporting.intervals import wilson
from pipeline.running.cli import CONF
from pipeline.serving.faces import Detector, Face
from pipeline.serving.model import Model
from pipeline.serving.pictures import look

CONFIDENCE = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrays", type=Path, default=Path("data/resized/grayscale"))
    parser.add_argument("--exported", type=Path, default=Path("champion"))
    parser.add_argument("--sides", type=int, nargs="+", default=[48, 96, 192])
    parser.add_argument("--picture", type=float, nargs=2, default=(3, 3), help="width and height, in sides of a face")
    parser.add_argument("--images", type=int, default=10**9, help="of valid, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    images = np.load(arguments.arrays / "valid.npy", mmap_mode="r")
    labels = pd.read_parquet(arguments.arrays / "valid.parquet")["label"].to_numpy()
    some = np.sort(np.random.default_rng(arguments.seed).permutation(len(images))[: arguments.images])
    images, labels = images[some], labels[some]
    model = Model(arguments.exported, [1, 4], threads=1)
    detector = Detector(OmegaConf.to_container(OmegaConf.load(CONF / "faces.yaml")))
    direct = read(model, np.stack([resized(picture(image), *model.shape[1:]) for image in images]))
    for side in arguments.sides:
        rng = np.random.default_rng((arguments.seed, side))
        crops, found, false = [], np.zeros(len(images), bool), 0
        for row, image in enumerate(images):
            whole, left, top = laid(picture(image), side, arguments.picture, rng)
            seen = look(whole, detector, model.shape)
            hits = [number for number, face in enumerate(seen.faces) if is_at(face, left, top, side)]
            false += len(seen.faces) - bool(hits)
            if hits:
                found[row] = True
                crops.append(seen.crops[hits[0]])
        right = np.zeros(len(images), bool)
        right[found] = read(model, np.stack(crops)) == labels[found]
        about = {"side": side, "picture": arguments.picture}
        print(json.dumps(about | figures(direct == labels, right, found) | {"false": false}), flush=True)


def picture(image: np.ndarray) -> Image.Image:
    """uint8 [size, size, 1 or 3] as an RGB image."""
    return Image.fromarray(image.squeeze()).convert("RGB")


def laid(face: Image.Image, side: int, times: Sequence[float], rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """The picture, uint8 [height, width, 3] of so many `times` the side, and where in it the face begins."""
    size = [round(side * each) for each in times]
    whole = backdrop(max(size), rng).crop((0, 0, *size))
    inset = side // 4 if min(times) >= 2 else 0
    left, top = (int(rng.integers(inset, length - side - inset + 1)) for length in size)
    whole.paste(face.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(whole), left, top


def is_at(face: Face, left: int, top: int, side: int) -> bool:
    x, y = face.x + face.width / 2 - left, face.y + face.height / 2 - top
    return side / 4 < x < 3 * side / 4 and side / 4 < y < 3 * side / 4


def read(model: Model, crops: np.ndarray) -> np.ndarray:
    return model.predict(crops).argmax(1)


def figures(direct: np.ndarray, right: np.ndarray, found: np.ndarray) -> dict:
    """Percent and 95 % intervals: faces found; of those, right directly and through the chain, and how much less."""

    def share(of: np.ndarray) -> list[float]:
        low, high = wilson(of.mean(), len(of), CONFIDENCE)
        return [round(100 * float(each), 1) for each in (of.mean(), low, high)]

    difference = compare.on_same_images(right[found], direct[found])
    points = [100 * float(each) for each in (difference.mean, *difference.interval(CONFIDENCE))]
    return {
        "images": len(found),
        "found": share(found),
        "crop_right": share(direct[found]),
        "chain_right": share(right[found]),
        "points": [round(each, 1) for each in points],
    }


if __name__ == "__main__":
    main()

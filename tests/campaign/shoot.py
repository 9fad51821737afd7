"""Takes docs/campaign.png, of a campaign that it draws: python -m tests.campaign.shoot champion"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screens import take
from serving.drawn import ROOT, group
from serving.test_page import CHROMIUM

POSTERS = {
    "Beach day": "happy happy surprise happy neutral",
    "Breakfast": "happy surprise sad",
    "City bikes": "surprise neutral surprise angry sad fear",
    "Festival": "happy happy surprise happy happy surprise sad",
    "Mountain hut": "happy surprise neutral sad",
    "Night market": "happy surprise fear surprise",
    "Open kitchen": "surprise happy neutral",
    "Rooftop": "neutral happy surprise sad",
}
CLIPS = {
    "Launch film": ("happy happy surprise", "surprise happy neutral", "happy happy happy", "neutral happy surprise"),
    "Reunion": ("sad neutral", "surprise sad", "happy happy", "happy surprise"),
}
HEIGHT = 2300
RATE, SCENE = 10, 8  # frames a second, and seconds of a scene


def scene(emotions: str, seed: int, height: int) -> Image.Image:
    """People of other faces for each seed, beside each other."""
    return group([(emotion, 100 * seed + place) for place, emotion in enumerate(emotions.split())], seed, height)


def film(path: Path, scenes: Sequence[Image.Image]) -> None:
    """A video of the scenes, into each of which the camera moves slowly."""
    width, height = min(image.width for image in scenes) // 2 * 2, scenes[0].height
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (width, height))
    for image in scenes:
        for step in range(RATE * SCENE):
            inset = 0.1 * step / (RATE * SCENE)
            box = (inset * image.width, inset * height, (1 - inset) * image.width, (1 - inset) * height)
            frame = image.resize((width, height), Image.Resampling.BICUBIC, box)
            writer.write(cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2BGR))
    writer.release()


def campaign(folder: Path) -> None:
    """Eight posters, two films, and two files that are neither."""
    for name in ("posters", "clips"):
        (folder / name).mkdir(parents=True)
    for seed, (name, emotions) in enumerate(POSTERS.items(), 1):
        scene(emotions, seed, 480).save(folder / f"posters/{name}.jpg", quality=88)
    for seed, (name, scenes) in enumerate(CLIPS.items(), 20):
        film(folder / f"clips/{name}.mp4", [scene(each, 10 * seed + k, 480) for k, each in enumerate(scenes)])
    (folder / "posters/Old scan.jpg").write_bytes((folder / "posters/Rooftop.jpg").read_bytes()[:20_000])
    (folder / "Briefing.pdf").write_bytes(b"%PDF-1.7\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        campaign(source := Path(temporary, "Summer campaign"))
        command = [sys.executable, "-m", "pipeline.analyze", f"exported={sys.argv[1]}", f"source={source}"]
        subprocess.run([*command, f"out={temporary}/report"], check=True, cwd=ROOT)
        take(Path(temporary, "report/index.html"), HEIGHT, ROOT / "docs/campaign.png", CHROMIUM)


if __name__ == "__main__":
    main()

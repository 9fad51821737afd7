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
WIDTHS, HEIGHT, GAP = (1280, 390), 2300, 50  # pixels of a desktop and of a phone, and between them
SHRUNK = 1.5
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
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        campaign(source := Path(temporary, "Summer campaign"))
        command = [sys.executable, "-m", "pipeline.analyze", f"exported={sys.argv[1]}", f"source={source}"]
        subprocess.run([*command, f"out={temporary}/report"], check=True, cwd=ROOT)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        both = Image.new("RGB", (sum(WIDTHS) + GAP, HEIGHT), "white")
        for width, left in zip(WIDTHS, (0, WIDTHS[0] + GAP), strict=True):
            page = browser.new_page(viewport={"width": width, "height": HEIGHT})
            page.goto(f"file://{temporary}/report/index.html")
            page.screenshot(path=f"{temporary}/{width}.png")
            both.paste(Image.open(f"{temporary}/{width}.png"), (left, 0))
        browser.close()
    size = round(both.width / SHRUNK), round(both.height / SHRUNK)
    both.resize(size, Image.Resampling.LANCZOS).save(ROOT / "docs/campaign.png", optimize=True)


if __name__ == "__main__":
    main()

"""A page as a picture for the documents: on a desktop and on a phone, beside each other."""

import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTHS, GAP = (1280, 390), 50  # pixels of a desktop and of a phone, and between them
SHRUNK = 1.5


def take(page_file: Path, height: int, to: Path, browser: str, colours: int | None = None) -> None:
    """Write the first `height` pixels of a page to a PNG, shrunk; `browser` is the path of a Chromium.

    So many `colours` are enough for a page without pictures, and make a file of a fourth of the size.
    """
    both = Image.new("RGB", (sum(WIDTHS) + GAP, height), "white")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for width, left in zip(WIDTHS, (0, WIDTHS[0] + GAP), strict=True):
            page = opened.new_page(viewport={"width": width, "height": height})
            page.goto(page_file.resolve().as_uri())
            page.screenshot(path=f"{temporary}/{width}.png")
            both.paste(Image.open(f"{temporary}/{width}.png"), (left, 0))
        opened.close()
    size = round(both.width / SHRUNK), round(both.height / SHRUNK)
    shrunk = both.resize(size, Image.Resampling.LANCZOS)
    (shrunk.quantize(colours) if colours else shrunk).save(to, optimize=True)

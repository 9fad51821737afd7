"""Contact sheets: many small images on one PNG, for a person's eye."""

from collections.abc import Sequence

from PIL import Image

MARGIN = 2
TALLEST = 65_500  # pixels, of what Pillow saves as JPEG


def sheet(rows: Sequence[Sequence[Image.Image]], tile: int, columns: int) -> Image.Image:
    """The images of each of `rows` side by side (one, or a duplicate and what it duplicates), `columns` such per line.

    Every image is fitted into a square of `tile` pixels, keeping its proportions.
    """
    across = max((len(row) for row in rows), default=1)
    width, height = across * tile + 2 * MARGIN, tile + 2 * MARGIN
    lines = -(-len(rows) // columns)
    page = Image.new("RGB", (min(columns, max(len(rows), 1)) * width, max(lines, 1) * height), (96, 96, 160))
    for number, row in enumerate(rows):
        left, top = number % columns * width + MARGIN, number // columns * height + MARGIN
        for position, image in enumerate(row):
            page.paste(fitted(image, tile), (left + position * tile, top))
    return page


def most_rows(tile: int, columns: int) -> int:
    """How many rows of images a sheet has room for."""
    return TALLEST // (tile + 2 * MARGIN) * columns


def fitted(image: Image.Image, tile: int) -> Image.Image:
    """The image with its longer side made `tile` pixels."""
    scale = tile / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)

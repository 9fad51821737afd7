"""Blocks: every image once and in order, whatever is wrong with some, and no more of them in memory than needed."""

import pytest
from PIL import Image
from trees import PLAIN, encoded, picture, tree, write

from pipeline.images import blocks
from pipeline.images.blocks import decoded_blocks
from pipeline.images.decode import Decoded
from pipeline.images.source import open_source

CAPS = 100_000, 1_000_000  # bytes, pixels


@pytest.fixture
def raw(tmp_path):
    return open_source(tree(tmp_path / "raw"), PLAIN)


def reasons(raw, ids):
    """Of each image, "" or why it is rejected, and the bytes."""
    found = [pair for block in decoded_blocks(raw, ids, *CAPS) for pair in block]
    return [("" if isinstance(image, Decoded) else image.reason, size) for image, size in found]


def test_every_image_once_in_order(raw, monkeypatch):
    whole = [image.image.tobytes() for block in decoded_blocks(raw, raw.ids(), *CAPS) for image, _ in block]
    assert len(set(whole)) == len(raw.ids()) == 42
    monkeypatch.setattr(blocks, "_HELD", 5 * 48 * 48)
    found = list(decoded_blocks(raw, raw.ids(), *CAPS))
    assert max(len(block) for block in found) == 5
    assert [image.image.tobytes() for block in found for image, _ in block] == whole


def test_what_can_not_be_read_or_decoded_keeps_its_place(raw, tmp_path):
    ids = raw.ids()[:6]
    write(tmp_path / "raw", ids[1], b"")
    (tmp_path / "raw" / ids[2]).unlink()
    write(tmp_path / "raw", ids[3], bytes(100_001))
    write(tmp_path / "raw", ids[4], encoded(picture(0, size=1200)))
    sizes = {id: (tmp_path / "raw" / id).stat().st_size for id in ids if id != ids[2]}
    assert reasons(raw, ids) == [
        ("", sizes[ids[0]]),
        ("zero_bytes", 0),
        ("unreadable", None),
        ("too_many_bytes", 100_001),
        ("too_many_pixels", sizes[ids[4]]),
        ("", sizes[ids[5]]),
    ]


def test_large_images_of_few_bytes_are_not_held_together(raw, tmp_path):
    flat = encoded(Image.new("L", (900, 900), 7), "PNG")
    assert 42 * len(flat) < blocks._HELD
    for id in raw.ids():
        write(tmp_path / "raw", id, flat)
    assert all(len(block) == 1 for block in decoded_blocks(raw, raw.ids(), *CAPS))

"""Rows 4-9 of the faults: damaged files, wrong names, unusual pixels, orientation, animations, bombs."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from trees import encoded, picture

from pipeline.images.decode import Decoded, Rejected, decode, tint

CAP = 1_000_000
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]


def pixels(data: bytes) -> np.ndarray:
    decoded = decode(data, CAP)
    assert isinstance(decoded, Decoded), decoded
    assert decoded.rgb.dtype == np.uint8
    return decoded.rgb


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("format", FORMATS)
def test_row_4_cut_anywhere_is_rejected(format):
    data = encoded(picture(1, size=24), format)
    assert isinstance(decode(data, CAP), Decoded)
    reasons = {cut: decode(data[:cut], CAP) for cut in range(len(data))}
    assert all(isinstance(found, Rejected) for found in reasons.values())
    assert reasons[0].reason == "zero_bytes"
    assert reasons[len(data) - 1].reason == "truncated"
    assert reasons[len(data) // 2].reason == "truncated"


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_row_4_cut_of_variants_is_rejected(format):
    exif = Image.Exif()
    exif[274] = 6
    options = {"JPEG": {"progressive": True, "exif": exif}, "PNG": {"exif": exif, "interlace": 1}}[format]
    data = encoded(picture(1, size=24, colour=True), format, **options)
    assert isinstance(decode(data, CAP), Decoded)
    assert all(isinstance(decode(data[:cut], CAP), Rejected) for cut in range(len(data)))


def test_row_4_random_bytes_and_text_are_no_image():
    rng = np.random.default_rng(0)
    assert all(decode(rng.bytes(500), CAP).reason == "not_an_image" for _ in range(50))
    assert decode(b"this is a letter, not a face\n" * 20, CAP).reason == "not_an_image"
    assert decode(b"%PDF-1.7 ...", CAP).reason == "not_an_image"
    assert decode(encoded(picture(1), "TIFF"), CAP).reason == "not_an_image"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])  # in WEBP any bits after the header are an image
def test_signature_before_random_bytes_is_rejected(format):
    start = encoded(picture(1), format)[:30]
    rng = np.random.default_rng(1)
    assert all(isinstance(decode(start + rng.bytes(900), CAP), Rejected) for _ in range(50))


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_bytes_never_raise(format):
    data, rng = bytearray(encoded(picture(2, size=32), format)), np.random.default_rng(2)
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            damaged[place] = rng.integers(0, 256)
        assert isinstance(decode(bytes(damaged), CAP), Decoded | Rejected)


@pytest.mark.parametrize("format", FORMATS)
def test_row_5_format_is_found_in_the_content(format):
    decoded = decode(encoded(picture(3), format), CAP)
    assert (decoded.format, decoded.frames, decoded.rgb.shape) == (format, 1, (48, 48, 3))


def test_bytes_after_a_jpeg_are_no_fault():
    data = encoded(picture(3))
    assert np.array_equal(pixels(data + b"\n<!-- served by a proxy -->" * 999), pixels(data))


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"\r\n", b"<!-- served by a proxy -->"])
@pytest.mark.parametrize("format", FORMATS)
def test_bytes_after_any_image_are_no_fault(format, tail):
    data = encoded(picture(3), format)
    assert np.array_equal(pixels(data + tail), pixels(data))
    frames = [picture(seed) for seed in (3, 4)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"a;b", duration=9, loop=0)
    assert np.array_equal(pixels(moving + tail), pixels(moving))
    assert isinstance(decode(moving[:-1], CAP), Rejected) and isinstance(decode(moving[:-1] + b"\n", CAP), Rejected)


def test_a_png_with_a_long_text_is_read_and_one_whose_text_is_a_bomb_is_not():
    def with_text(length: int) -> bytes:
        text = chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(length), 1))
        data = encoded(picture(3), "PNG")
        return data[:33] + text + data[33:]

    assert np.array_equal(pixels(with_text(9 << 20)), pixels(encoded(picture(3), "PNG")))
    assert decode(with_text(65 << 20), CAP) == Rejected("corrupt")


def test_row_6_cmyk_jpeg():
    wanted = np.asarray(picture(4, colour=True))
    found = pixels(encoded(Image.fromarray(wanted).convert("CMYK"), "JPEG", quality=100))
    assert np.abs(found.astype(int) - wanted).mean() < 3  # inverted, the mean is over 60


def test_row_6_palette_with_transparency_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    for format in ("PNG", "GIF"):
        assert pixels(encoded(image, format, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
        assert pixels(encoded(image, format)).tolist() == [[[10, 20, 30], [200, 0, 0]]]


def test_row_6_gray_with_alpha_lies_on_white():
    image = Image.new("LA", (3, 1))
    image.putdata([(100, 255), (100, 0), (100, 51)])
    assert pixels(encoded(image, "PNG"))[0, :, 0].tolist() == [100, 255, 224]


def test_colour_with_alpha_lies_on_white():
    image = Image.new("RGBA", (2, 1))
    image.putdata([(9, 8, 7, 255), (9, 8, 7, 0)])
    for format in ("PNG", "WEBP"):
        assert pixels(encoded(image, format, lossless=True)).tolist() == [[[9, 8, 7], [255, 255, 255]]]


def test_row_6_one_bit():
    image = Image.new("1", (2, 1))
    image.putdata([0, 255])
    assert pixels(encoded(image, "PNG"))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_row_6_sixteen_bits_are_scaled_not_saturated(colour, channels):
    levels = [0, 300, 32768, 40000, 65535]
    values = [[level] * channels if colour in (0, 2) else [level] * (channels - 1) + [65535] for level in levels]
    rows = b"\0" + np.array(values, ">u2").tobytes()
    found = pixels(png(len(levels), 1, 16, colour, rows))[0]
    assert found[:, 0].tolist() == [0, 1, 128, 156, 255]
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize(("depth", "levels"), [(1, [0, 1]), (2, [0, 1, 2, 3]), (4, [0, 5, 10, 15]), (8, [0, 7, 255])])
def test_row_6_a_transparent_level_of_gray_is_white_and_no_other(depth, levels):
    packed = sum(level << 24 - depth * (n + 1) for n, level in enumerate(levels)).to_bytes(3)
    data = png(len(levels), 1, depth, 0, b"\0" + packed[: -(-len(levels) * depth // 8)])
    at = data.index(b"IDAT") - 4
    shown = [level * 255 // (2**depth - 1) for level in levels]
    assert pixels(data)[0, :, 0].tolist() == shown
    for n, level in enumerate(levels):
        found = pixels(data[:at] + chunk(b"tRNS", struct.pack(">H", level)) + data[at:])
        assert found[0, :, 0].tolist() == [*shown[:n], 255, *shown[n + 1 :]]


def test_row_6_a_transparent_colour_of_sixteen_bits_is_white_and_no_other():
    colours = [(0x8000,) * 3, (0, 0, 0), (0xFF80, 0, 0), (0x1234,) * 3]
    data = png(4, 1, 16, 2, b"\0" + np.array(colours, ">u2").tobytes())
    at = data.index(b"IDAT") - 4
    shown = [[level >> 8 for level in colour] for colour in colours]
    for n, colour in enumerate(colours):
        found = pixels(data[:at] + chunk(b"tRNS", struct.pack(">HHH", *colour)) + data[at:])
        assert found[0].tolist() == [*shown[:n], [255] * 3, *shown[n + 1 :]]


def test_what_is_transparent_of_sixteen_bits_is_white_too():
    image = Image.fromarray(np.array([[1000, 1001, 65535]], np.uint16))
    assert pixels(encoded(image, "PNG", transparency=1000))[0, :, 0].tolist() == [255, 3, 255]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_row_7_orientation_is_upright(format, orientation):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 250  # top left is light
    upright[8:, 8:16] = 120
    store = {  # how a camera that is held so has stored it: EXIF 2.32, tag 274
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(store[orientation](upright)))
    data = encoded(stored, format, exif=exif, quality=100)
    found, told = pixels(data), decode(data, 10_000).orientation
    assert found.shape == upright.shape and (told, type(told)) == (orientation, int)
    assert np.abs(found.astype(int) - upright).mean() < 3


@pytest.mark.parametrize(("kind", "value"), [(5, struct.pack("<II", 6, 1)), (12, struct.pack("<d", 6))])
def test_an_orientation_stored_as_a_fraction_or_a_float_is_a_whole_number(kind, value):
    entry = struct.pack("<HHHII", 1, 274, kind, 1, 26)  # one entry, its value behind the directory
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + entry + struct.pack("<I", 0) + value
    told = decode(encoded(Image.new("RGB", (8, 4)), "JPEG", exif=exif), 10_000)
    assert (told.orientation, type(told.orientation), told.image.size) == (6, int, (4, 8))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_keeps_the_pixels(exif):
    assert np.array_equal(pixels(encoded(picture(5), exif=exif)), pixels(encoded(picture(5))))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_row_8_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    decoded = decode(encoded(frames[0], format, save_all=True, append_images=frames[1:]), CAP)
    assert decoded.frames == 3
    assert decoded.rgb[4, 4].tolist() == pytest.approx([250, 0, 0], abs=8)


def bombs() -> dict[str, bytes]:
    side = 9000
    webp = bytearray(encoded(picture(1), "WEBP", lossless=True))
    webp[21:25] = (16382 | 16382 << 14).to_bytes(4, "little")  # width and height less one
    return {
        "gray": png(side, side, 8, 0, bytes(side * (side + 1))),
        "huge": png(60_000, 60_000, 8, 2, b""),  # over the size at which Pillow itself raises
        "webp": bytes(webp),
    }


def test_row_9_bombs_are_refused_from_the_header(tmp_path):
    for name, data in bombs().items():
        assert len(data) < 81_000
        (tmp_path / name).write_bytes(data)
    script = """
import pathlib, sys
from pipeline.images.decode import decode
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
status = pathlib.Path("/proc/self/status")  # not of getrusage, whose peak begins with that of the parent
peak = lambda: next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
before = peak()
for file in pathlib.Path(sys.argv[1]).iterdir():
    assert decode(file.read_bytes(), 25_000_000).reason == "too_many_pixels", file
assert peak() - before < 8_000, (before, peak())  # KiB; the smallest takes 81 MB of pixels
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)


def scans(times: int, before: bytes = b"") -> bytes:
    """A progressive JPEG, `before` in front of its last scan, which comes so many times."""
    data = encoded(picture(1), progressive=True)
    at = data.rfind(b"\xff\xda")
    return data[:at] + before + data[at:-2] * times + data[-2:]


@pytest.mark.parametrize(
    "data",
    (
        scans(40),
        scans(200, b"\xff\x05\xff\xff"),  # what libjpeg passes over and hides the scans in, were its length believed
        scans(1, b"\xff\xfe\0\2" * 20_000),  # empty comments
    ),
    ids=("scans", "hidden", "segments"),
)
def test_row_9_a_jpeg_of_too_many_parts_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    assert decode(data, CAP).reason == "too_many_parts"


PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1000)))


def with_chunks(chunks: bytes, before: bytes = b"IDAT") -> bytes:
    data = encoded(picture(1), "PNG")
    at = data.index(before) - 4
    return data[:at] + chunks + data[at:]


def with_blocks(blocks: bytes) -> bytes:
    data = encoded(picture(1), "GIF")
    return data[:-1] + blocks + data[-1:]


@pytest.mark.parametrize(
    "data",
    (
        with_chunks(PROFILE * 2),
        with_chunks(chunk(b"prVt", b"") * 20_000),
        with_chunks(chunk(b"IDAT", b"") * 20_000, before=b"IEND"),
        with_blocks((b"," + bytes(8) + b"\0\2\0") * 20_000),
        with_blocks(b"!\xfe" + b"\1a" * 20_000 + b"\0"),
    ),
    ids=("profiles", "chunks", "pieces of the picture", "frames", "pieces of a comment"),
)
def test_row_9_a_png_or_gif_of_too_many_parts_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    assert decode(data, CAP).reason == "too_many_parts"


def test_row_9_as_many_parts_as_large_pictures_have_are_taken():
    pieces = chunk(b"prVt", bytes(8192)) * 2000
    for data in (
        with_chunks(PROFILE + pieces),
        with_blocks(b"!\xfe" + (b"\xfe" + b"a" * 254) * 20_000 + b"\0"),
    ):
        assert isinstance(decode(data, CAP), Decoded)


def test_row_9_what_a_jpeg_carries_along_is_not_counted():
    plain, noise = scans(1), b"\xff\xda" * 30_000
    comment = b"\xff\xfe\xea\x62" + noise
    for data in (scans(15), plain[:2] + comment + plain[2:], plain + noise, plain + scans(80)):
        assert isinstance(decode(data, CAP), Decoded)


def test_tint_is_the_largest_difference_between_colours_of_a_pixel():
    gray = np.repeat(np.arange(48, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    assert tint(gray) == 0
    gray[3, 7, 2] += 3
    assert tint(gray) == 3
    gray[3, 7, 0], gray[3, 7, 2] = 255, 0
    assert tint(gray) == 255


def test_an_image_in_its_mode_is_not_copied(monkeypatch):
    data = encoded(picture(1), "JPEG")
    monkeypatch.setattr(Image.Image, "convert", None)
    assert pixels(data).shape == (48, 48, 3)


def test_an_orientation_in_xmp_alone_is_upright():
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 250  # top left is light
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    data = encoded(Image.fromarray(np.rot90(upright).copy()), xmp=xmp, quality=100)
    assert "exif" not in Image.open(io.BytesIO(data)).info
    assert decode(data, CAP).orientation == 6
    assert np.abs(pixels(data).astype(int) - upright).mean() < 3

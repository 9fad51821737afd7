"""From the bytes of one image file to upright pixels, or to the reason why not. No files.

The format is decided by content: JPEG, PNG, WEBP, GIF or BMP, whatever the file is called. The header is read first and
an image of too many pixels, or of too many parts, is refused before any is decoded.

Importing it raises Pillow's limit for texts in a PNG, for the whole process: Pillow takes it from its own module alone,
and with its megabyte refuses pictures that hold an editor's long history.
"""

import io
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

_SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "BMP": b"BM"}

_END_IGNORED = {"PNG", "GIF"}  # their decoders are content once the pixels are there; the others ask for the end

# A picture comes in at most so many parts, or in parts of so many bytes on average: each takes Pillow 0.5 to 4 us of
# Python.
_MOST_PARTS, _MEAN = 10_000, 64

# Those that cost more, however few bytes they have. Each scan of a JPEG takes a pass over all pixels, 3 to 26 ms at 25
# million of them; baseline pictures have one to three, progressive ones ten to about twenty. Each colour profile of a
# PNG is unpacked, up to MAX_TEXT_CHUNK below in 0.25 s, and a picture has one.
_COSTLY = {b"\xff\xda": 30, b"iCCP": 1}

# What begins a segment with a length, or ends the picture. Left out are the marks inside of a scan (a stuffed FF, a
# restart) and reserved ones, which libjpeg passes over where it looks for a restart and refuses elsewhere.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")

_GIF_BLOCK = re.compile(b"[!,;]")  # an extension, an image, the trailer

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Where Pillow keeps what may hold an orientation; most face crops have none of them and are spared the search.
_ORIENTED = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}

# What texts in a PNG may unpack to, in bytes: an editor's history of a picture is more than Pillow's megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20


@dataclass(frozen=True)
class Decoded:
    """An image that could be decoded.

    image: Pillow image, upright, of mode L where gray is stored without a palette, else of mode RGB. format: as found
    in the content, such as "JPEG". mode: Pillow's name of the stored pixels, such as "L" or "CMYK". frames: 1, or more
    for an animation, of which `image` is the first. orientation: as EXIF numbers it, 1 to 8; how the stored pixels were
    turned to make `image`, 1 for not at all.
    """

    image: Image.Image
    format: str
    mode: str
    frames: int
    orientation: int

    @property
    def rgb(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        return np.asarray(_in_mode(self.image, "RGB"))


@dataclass(frozen=True)
class Rejected:
    """An image that could not be decoded.

    reason: a key of MEANINGS in pipeline.images.page.
    """

    reason: str


def is_animated(frames: Any, format: Any) -> Any:
    """Whether pictures are the first of an animation, by their number of frames and format: one picture, or columns.

    What more a JPEG holds is a second view or a map of its light.
    """
    return (frames > 1) & (format != "JPEG")


def decode(data: bytes, max_pixels: int) -> Decoded | Rejected:
    """First frame of `data`, upright, as RGB or gray. Never raises for any bytes.

    Palette images become RGB and 1-bit ones gray; 16-bit ones are scaled to 8 (their high byte), CMYK converted, what
    is transparent laid on white, and orientation 1 to 8 of EXIF or XMP applied.
    """
    format = sniff(data)
    if format is None:
        return Rejected("not_an_image" if data else "zero_bytes")
    try:
        with warnings.catch_warnings(action="ignore"):  # a damaged EXIF block, an image half-way to the pixel cap
            if _pixels_of_webp(data) > max_pixels:
                return Rejected("too_many_pixels")
            if _too_many_parts(data, format):
                return Rejected("too_many_parts")
            image = Image.open(io.BytesIO(data), formats=[format])
            if image.width * image.height > max_pixels:
                return Rejected("too_many_pixels")
            mode, frames = image.mode, getattr(image, "n_frames", 1)
            image.load()
            if format in _END_IGNORED and not _ends(data, format):
                return Rejected("truncated")
            if format == "PNG":
                _scale_transparency(image, depth=data[24])
            orientation, pixels = _orientation(image), _to_eight_bits(image)
            upright = pixels if orientation == 1 else pixels.transpose(_TURNS[orientation])
            return Decoded(upright, format, mode, frames, orientation)
    except Image.DecompressionBombError:
        return Rejected("too_many_pixels")
    except MemoryError:
        raise
    except Exception:  # decoders let ValueError, SyntaxError, struct.error and others escape on damaged bytes
        return Rejected("corrupt" if _ends(data, format) else "truncated")


def sniff(data: bytes) -> str | None:
    """Format of an image by its first bytes, or None: "JPEG", "PNG", "WEBP", "GIF", "BMP"."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((format for format, signature in _SIGNATURES.items() if data.startswith(signature)), None)


def tint(rgb: np.ndarray) -> int:
    """The largest difference, 0 to 255, between red, green and blue of any pixel of uint8 [H, W, 3]."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return int((most - least).max())


def _ends(data: bytes, format: str) -> bool:
    """Whether the bytes reach to what closes an image of this format."""
    if format == "JPEG":
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")  # end of image after start of scan
    if format == "PNG":
        return b"IEND\xaeB`\x82" in data
    if format == "GIF":
        return b";" in _gif_parts(data)
    start = 4 if format == "WEBP" else 2  # both state their own size
    stated = int.from_bytes(data[start : start + 4], "little") + (8 if format == "WEBP" else 0)
    return len(data) >= stated


def _colours(data: bytes, flags: int) -> int:
    """Bytes of the colour table that the flags of a GIF's screen or image announce."""
    told = int.from_bytes(data[flags : flags + 1])
    return 3 << (told & 7) + 1 if told & 0x80 else 0


def _too_many_parts(data: bytes, format: str) -> bool:
    """Whether an image has more parts than any camera or program writes, up to where its first picture ends.

    What a part holds (a small picture, a comment) and what follows the picture (a second view, a video) don't count.
    """
    parts = {"JPEG": _jpeg_parts, "PNG": _png_parts, "GIF": _gif_parts}.get(format)  # the others' are walked in C
    most, counts = _MOST_PARTS + len(data) // _MEAN, Counter()
    for number, kind in enumerate(parts(data) if parts else ()):
        counts[kind] += 1
        if number >= most or counts[kind] > _COSTLY.get(kind, most):
            return True
    return False


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    """The marker of each segment and scan of a JPEG."""
    at = 0
    while (found := _MARKER.search(data, at)) and found[0] != b"\xff\xd9":
        yield found[0]
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))


def _png_parts(data: bytes) -> Iterator[bytes]:
    """The kind of each chunk of a PNG."""
    at = 8
    while (kind := data[at + 4 : at + 8]) and kind != b"IEND":
        yield kind
        at += 12 + int.from_bytes(data[at : at + 4])


def _gif_parts(data: bytes) -> Iterator[bytes]:
    """What begins each block of a GIF, of all its frames, up to its trailer; nothing for each piece of a block.

    A byte that begins none is skipped, as Pillow does.
    """
    place = 13 + _colours(data, 10)
    while found := _GIF_BLOCK.search(data, place):
        yield found[0]
        if found[0] == b";":
            return
        place = found.end()
        place += 1 if found[0] == b"!" else 10 + _colours(data, place + 8)
        while data[place : place + 1] > b"\0":
            yield b""
            place += 1 + data[place]


def _pixels_of_webp(data: bytes) -> int:
    """Width times height in a WEBP header, 0 for other formats: Pillow's decoder takes canvas memory when it opens."""
    if data[:4] != b"RIFF" or len(data) < 30:
        return 0
    kind = data[12:16]
    if kind == b"VP8X":
        return (1 + int.from_bytes(data[24:27], "little")) * (1 + int.from_bytes(data[27:30], "little"))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    width, height = struct.unpack("<HH", data[26:30])
    return (width & 0x3FFF) * (height & 0x3FFF)


def _scale_transparency(image: Image.Image, depth: int) -> None:
    """Bring the colour that a PNG declares transparent, of so many bits, to the eight that Pillow has made of pixels.

    Of 16 bits only the high byte is left to tell colours apart by; gray ones keep all (`_to_eight_bits`).
    """
    transparent = image.info.get("transparency")
    if image.mode == "L" and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)
    elif image.mode == "RGB" and depth == 16 and transparent:
        image.info["transparency"] = tuple(level >> 8 for level in transparent)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray, which convert() would saturate at 255
        levels = np.asarray(image).astype(np.int32)
        high_byte = (levels >> 8).clip(0, 255).astype(np.uint8)
        if (transparent := image.info.get("transparency")) is not None:
            high_byte[levels == transparent] = 255
        return Image.fromarray(high_byte)
    if image.has_transparency_data:
        layer = _in_mode(image, "RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return _in_mode(image, "L" if image.mode in ("L", "1") else "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image itself if it is in the mode: convert() would copy it, 100 MB at 25 million pixels.

    Not so for a WEBP, whose decoder keeps two more such images for as long as the first is kept.
    """
    return image if image.mode == mode and image.format != "WEBP" else image.convert(mode)


def _orientation(image: Image.Image) -> int:
    if not _ORIENTED & image.info.keys():
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the pixels
        return 1
    return int(orientation) if orientation in _TURNS else 1  # stored as a fraction or float too

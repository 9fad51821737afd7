"""Draws an architecture from the built model's layers as SVG: what each does, its output's shape, its parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import keras
from omegaconf import OmegaConf

from pipeline.learning import models

CHANNELS = (3, 1)  # rgb and grayscale; the first one is drawn
ROW, GAP, WIDTH = 26, 6, 720  # pixels
LEFT, BOX = 60, 330  # where the boxes start, and their width; the arcs of shortcuts are left of them
SHAPE, PARAMETERS, BAR = 405, 580, 590  # where the columns start; the second one is right-aligned
COLOURS = {
    "Conv2D": "#cfe2f3",
    "Dense": "#d9ead3",
    "BatchNormalization": "#fff2cc",
    "MaxPooling2D": "#f4cccc",
    "GlobalAveragePooling2D": "#f4cccc",
    "Dropout": "#eeeeee",
}


@dataclass(frozen=True)
class Row:
    """One layer: `inputs` are the positions of the layers it reads, `shape` is without the batch."""

    name: str
    kind: str
    does: str
    shape: tuple[int, ...]
    parameters: int
    inputs: tuple[int, ...]


def draw(file: Path, size: int) -> str:
    """The SVG of the architecture that a file of conf/model/ defines, for images of `size` pixels a side."""
    choice = OmegaConf.load(file)
    colour, gray = (models.build(choice, size, channels) for channels in CHANNELS)
    subtitle = f"{colour.count_params():,} parameters with rgb, {gray.count_params():,} with grayscale input"
    return svg(rows(colour), choice.name, subtitle)


def rows(model: keras.Model) -> list[Row]:
    """The layers in the order they are computed."""
    if isinstance(model, keras.Sequential):  # its config names no inputs
        model = keras.Model(model.inputs, model.outputs)
    position = {layer.name: number for number, layer in enumerate(model.layers)}
    inputs = {
        layer["name"]: tuple(sorted({position[name] for name in _read(layer["inbound_nodes"])}))
        for layer in model.get_config()["layers"]
    }
    return [
        Row(
            layer.name,
            type(layer).__name__,
            _does(layer),
            tuple(layer.output.shape[1:]),
            layer.count_params(),
            inputs[layer.name],
        )
        for layer in model.layers
    ]


def svg(rows: list[Row], title: str, subtitle: str) -> str:
    """The layers from top to bottom; a dark bar is a layer's share of all parameters, an arc a shortcut past others."""
    total = max(sum(row.parameters for row in rows), 1)
    height = 78 + len(rows) * (ROW + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}: {len(rows)} layers, {escape(subtitle)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="17" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="44">{escape(subtitle)}</text>',
        f'<text x="{SHAPE}" y="64" fill="#555">output</text>',
        f'<text x="{PARAMETERS}" y="64" fill="#555" text-anchor="end">parameters</text>',
    ]
    for number, row in enumerate(rows):
        top = 72 + number * (ROW + GAP)
        middle = top + ROW / 2 + 4.5
        lines += [
            f'<rect x="{LEFT}" y="{top}" width="{BOX}" height="{ROW}" rx="5" '
            f'fill="{COLOURS.get(row.kind, "#ffffff")}" stroke="#777"/>',
            f'<text x="{LEFT + 10}" y="{middle}">{escape(row.does)}</text>',
            f'<text x="{SHAPE}" y="{middle}">{" × ".join(map(str, row.shape))}</text>',
        ]
        if row.parameters:
            width = max(1.0, (WIDTH - BAR - 10) * row.parameters / total)
            lines += [
                f'<text x="{PARAMETERS}" y="{middle}" text-anchor="end">{row.parameters:,}</text>',
                f'<rect x="{BAR}" y="{top + 5}" width="{width:.1f}" height="{ROW - 10}" fill="#1f4e79"/>',
            ]
        for source in row.inputs:
            lines.append(_arrow(source, number))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _arrow(source: int, number: int) -> str:
    start, end = 72 + source * (ROW + GAP) + ROW, 72 + number * (ROW + GAP)
    if source == number - 1:
        x = LEFT + BOX / 2
        return f'<path d="M{x} {start}V{end}" stroke="#777" fill="none"/>'
    start, end = start - ROW / 2, end + ROW / 2
    reach = max(6, LEFT - 8 * (number - source) - 6)
    return (
        f'<path d="M{LEFT} {start}C{reach} {start} {reach} {end} {LEFT} {end}" stroke="#c1440e" fill="none"/>'
        f'<path d="M{LEFT - 6} {end - 4}L{LEFT} {end}L{LEFT - 6} {end + 4}" stroke="#c1440e" fill="none"/>'
    )


def _does(layer: keras.Layer) -> str:
    """A layer in the words of its field: what it is, and the numbers that were chosen for it."""
    config = layer.get_config()
    match type(layer).__name__:
        case "InputLayer":
            return f"image, {layer.dtype}"
        case "Conv2D":
            kernel = "×".join(map(str, config["kernel_size"]))
            stride = f", stride {config['strides'][0]}" if config["strides"][0] > 1 else ""
            return f"convolution {kernel}, {config['filters']}{stride}, {config['padding']}{_activation(config)}"
        case "Dense":
            return f"dense {config['units']}{_activation(config)}"
        case "Dropout":
            return f"dropout {config['rate']}"
        case "BatchNormalization":
            return "batch normalisation"
        case "MaxPooling2D":
            return f"max pooling {config['pool_size'][0]}×{config['pool_size'][1]}"
        case "GlobalAveragePooling2D":
            return "global average pooling"
        case "Rescaling":
            offset = f" {config['offset']:+g}" if config["offset"] else ""
            return f"scale by 1/{1 / config['scale']:g}{offset}"
        case "Cropping2D":
            return f"crop {config['cropping'][0][0]} pixels from each border"
        case kind:
            return kind.lower()


def _activation(config: dict) -> str:
    return "" if config["activation"] == "linear" else f", {config['activation']}"


def _read(node) -> Iterator[str]:
    """Names of the layers whose outputs stand in a layer's saved call arguments."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield node["keras_history"][0]
        node = list(node.values())
    if isinstance(node, list | tuple):
        for each in node:
            yield from _read(each)

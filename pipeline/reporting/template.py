"""Pages from Jinja templates, complete in themselves: base.html brings style.css, and pictures stand in the page."""

import base64
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image


def page(template: Path, context: Mapping[str, Any]) -> str:
    """The page; a name that the template uses and the context lacks is an error, and text in .html is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=template.suffix == ".html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    environment.filters["points"] = lambda share, digits=1: f"{100 * share:+z.{digits}f}"
    environment.filters["between"] = lambda ends: f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}\u00a0%"
    environment.filters["thousands"] = lambda number: f"{number:,.0f}"
    return environment.get_template(template.name).render(context)


def percent(share: float, digits: int = 1) -> str:
    """A share as 12.5 %; without digits halves go up, as in a browser, so that all pages say the same."""
    return f"{100 * share:.{digits}f}\u00a0%" if digits else f"{math.floor(100 * share + 0.5)}\u00a0%"


def embedded(picture: Image.Image, kind: str = "png", **options: Any) -> str:
    """A picture as a data URI; `kind` png or jpeg, with Pillow's `options` of it."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return data_uri(file.getvalue(), f"image/{kind}")


def with_pictures(rows: Iterable[dict[str, Any]], pictures: Iterable[Image.Image]) -> list[dict[str, Any]]:
    """The rows, each with its picture as `image`, a data URI."""
    return [row | {"image": embedded(picture)} for row, picture in zip(rows, pictures, strict=True)]


def data_uri(content: bytes, media_type: str) -> str:
    """A file's content as what stands for its address in a page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"

"""Pages from Jinja templates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2


def page(template: Path, context: Mapping[str, Any]) -> str:
    """The page; a name that the template uses and the context lacks is an error, and text in .html is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=template.suffix == ".html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share, digits=1: f"{100 * share:.{digits}f}\u00a0%"
    environment.filters["points"] = lambda share, digits=1: f"{100 * share:+.{digits}f}"
    environment.filters["between"] = lambda ends: f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}\u00a0%"
    environment.filters["thousands"] = lambda number: f"{number:,.0f}"
    return environment.get_template(template.name).render(context)

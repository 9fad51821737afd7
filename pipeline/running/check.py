"""Checks of single values of a config: a UserError names the value and says what is expected."""

import math
from typing import Any

from pipeline.running.errors import UserError


def whole_number(name: str, value: Any, least: int, most: float = math.inf, instead: str | None = None) -> None:
    """UserError for what is no whole number from `least` to `most`; the word `instead` may stand for one."""
    if value == instead and instead is not None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        bounds = f"at least {least}" if most == math.inf else f"from {least} to {most}"
        raise UserError(f"{name}={value}: expected {f'{instead} or ' if instead else ''}a whole number, {bounds}")


def over_zero(name: str, value: Any) -> None:
    """UserError for what is no finite number over 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UserError(f"{name}={value}: expected a number over 0")


def number(name: str, value: Any, least: float, most: float) -> None:
    """UserError for what is no number from `least` to `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name}={value}: expected a number from {least:g} to {most:g}")


def text(name: str, value: Any) -> None:
    """UserError for what is no text, or an empty one."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{name}={value}: expected a text")


def texts(name: str, value: Any) -> None:
    """UserError for what is no list of texts: a single one without its brackets would be a list of letters."""
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise UserError(f"{name}={value}: expected a list of texts in brackets, such as [one,another]")


def batch_sizes(name: str, value: Any) -> None:
    """UserError for what is no list of whole numbers over 0 with 1 among them: any count is then a sum of them."""
    if not isinstance(value, list) or 1 not in value:
        raise UserError(f"{name}={value}: expected a list, and 1 has to be among them")
    for size in value:
        whole_number(name, size, 1)

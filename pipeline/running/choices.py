"""The files of conf/: the groups of those to choose from, and which others have values of a step."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from pipeline.running.config import CONF


def choices() -> set[str]:
    """The groups of files to choose from, such as model and optimizer."""
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def files(group: str) -> list[Path]:
    """The files to choose from, without what editors and systems leave beside them."""
    return sorted(file for file in (CONF / group).glob("*.yaml") if not file.name.startswith("."))


def groups(step: str) -> list[str]:
    """The groups of files that the step reads one of each, in their order."""
    found = [name for name, within in own_files(step).items() if not within]
    of = [entry for name in found for entry in content(name).get("defaults", [])]
    return list(dict.fromkeys(next(iter(each)).removeprefix("override ") for each in of if isinstance(each, Mapping)))


def own_files(step: str) -> dict[str, str]:
    """The files of conf/ that are no choice and have values of the step; of each the group that these are in, or ""."""
    found = {step: ""}
    for entry in content(step)["defaults"]:
        if isinstance(entry, str) and entry not in ("_self_", "hydra_quiet"):
            found |= own_files(entry) if "defaults" in content(entry) else {entry: _package(entry)}
    return found


def _package(name: str) -> str:
    """The group that a file's values are put in, which its first line may say; "" for none."""
    first = (CONF / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return "" if first == "# @package _global_" else name


def of_step(step: str) -> dict[str, list]:
    """What each key of the step's config is in its file, or of a group in each of the files to choose from."""
    found = {}
    for name, within in own_files(step).items():
        values = {key: value for key, value in content(name).items() if key not in ("defaults", "hydra")}
        found |= {within: [values]} if within else {key: [value] for key, value in values.items()}
    return found | {group: list(_readable(group)) for group in groups(step)}


def _readable(group: str) -> Iterator[dict]:
    for file in files(group):
        with suppress(yaml.YAMLError, ValueError):  # neither YAML nor UTF-8, or a list: it is told of when chosen
            yield content(f"{group}/{file.stem}")


def content(name: str) -> dict:
    """What stands in a file of conf/, by its path there without the ending."""
    return dict(_parsed((CONF / f"{name}.yaml").read_text(encoding="utf-8")))


@cache
def _parsed(text: str) -> dict:
    """A file's content as plain values; parsed once, as a sweep checks each of its points."""
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)

"""Write a run's MODEL_CARD.md: what the model is, how it was made, how good it is, what it may be used for.

For people who were not there, after Mitchell et al. 2019, "Model Cards for Model Reporting". Needs the run's folder as
train and evaluate left it and nothing else; what cleaning kept is told when data/clean is of the same images. No figure
stands in it that is not in those files, but for `remarks`. Its words are in the Jinja template reporting/model_card.md.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.labels import LABELS, SPLITS
from pipeline.reporting import metrics
from pipeline.reporting.template import page
from pipeline.running import cli, run_folder
from pipeline.running.cleaned import summary_of
from pipeline.running.config import flatten
from pipeline.running.files import whole_file
from pipeline.running.run_folder import EvaluatedRun

TEMPLATE = Path(__file__).parent / "reporting" / "model_card.md"


def main(cfg: DictConfig) -> None:
    text = render(context(run_folder.evaluated(Path(cfg.run)), Path(cfg.paths.clean), list(cfg.remarks)))
    with whole_file(cfg.output) as beside:
        beside.write_text(text, encoding="utf-8")
    print(f"{cfg.output}: {len(text.splitlines())} lines, for people")


def context(run: EvaluatedRun, clean: Path, remarks: Sequence[str]) -> dict[str, Any]:
    """What the template is filled with."""
    config = OmegaConf.to_container(run.config)
    return {
        "about": run.about,
        "recipe": recipe(config),
        "config": config,
        "report": run.report,
        "remarks": remarks,
        "kept": cleaning(clean, run.about["data"], run.about["made_from"]),
        "labels": LABELS,
        "splits": SPLITS,
        "fewest": metrics.FEWEST,
    }


def cleaning(folder: Path, data: str, digest: str) -> dict[str, Any] | None:
    """summary.json of `clean`, or None when it is of other data or keeps other images than those of `digest`."""
    summary = summary_of(folder, data)
    return summary if summary and summary["digest"] == digest else None


def recipe(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The choices of a training in rows: what, which, and the values it stands for, those of the model left out."""
    rows = []
    for key, value in config.items():
        if not isinstance(value, Mapping):
            rows.append((key, plain(value), ""))
        elif key in ("model", "data"):  # an architecture and lists of images are no table cell
            rows.append((key, value["name"], ""))
        else:
            values = {name.removeprefix("build."): each for name, each in flatten(value).items()}
            shown = [f"{name} {plain(each)}" for name, each in values.items() if name not in ("name", "_target_")]
            rows.append((key, value["name"], ", ".join(shown)))
    return rows


def plain(value: Any) -> str:
    """A value as JSON has it, a text without its quotes."""
    return json.dumps(value, ensure_ascii=False).strip('"')


def render(context: Mapping[str, Any]) -> str:
    """The card as Markdown; a name that the template uses and the context lacks is an error."""
    return page(TEMPLATE, context).replace("\u00a0", " ")  # Markdown is also read and searched as it is


if __name__ == "__main__":
    cli.run("describe")

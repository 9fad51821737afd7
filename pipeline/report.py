"""Write reports/index.html: one page, complete in itself, that tells a person what the runs of an experiment show.

Reads what `rank` and `compare` wrote, and from MLflow what `evaluate` left of the best run. The page loads nothing from
a network. Its words are in the Jinja template reporting/page.html.
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from pipeline.reporting import compare, histories, mistakes, predictions, ranking, run_plots, template
from pipeline.reporting.on_split import PLOTS
from pipeline.running import cli, tracking
from pipeline.running.errors import UserError
from pipeline.running.files import whole_file
from pipeline.running.outputs import read_json, read_table
from pipeline.running.run_folder import REPORT

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).parent / "reporting" / "page.html"
KINDS = {".png": "image/png", ".svg": "image/svg+xml"}
PUBLISHED = cli.CONF.parent / "docs" / "published_runs.csv"


def main(cfg: DictConfig) -> None:
    reports = Path(cfg.paths.reports)
    about, table, tables = read_reports(reports, cfg.study)
    store = tracking.open_store(cfg.paths.tracking, cfg.study, create=False)
    run = store.run(table["run_id"].iloc[0])
    if run is None:
        raise UserError(f"{reports}: the ranking is of runs that MLflow does not hold; rank and compare again")
    if apart := tested_apart(table, {run.info.run_id: run.data.tags for run in store.finished({})}):
        log.warning("%s: %s", cfg.study, apart)
    context = {
        "about": about,
        "tested_apart": apart,
        "kept_differently": ranking.kept_differently(table),
        "rows": rows(table, published(PUBLISHED) if cfg.study != "published" else {}),
        "untimed": int(tables["per_run"]["cpu_seconds"].isna().sum()),
        "unpaired": int((table["compared_by"] == compare.UNPAIRED).sum()),
        "axis": axis(table),
        "tables": {name: each.to_dict("records") for name, each in tables.items()},
        "figures": {file.stem: embed(file) for file in drawn(reports / "figures")},
        "data": table["data"].iloc[0],
        "drawn": drawn_valid(run.data.params),
        "best": best(store, table.iloc[0], Path(cfg.paths.resized), cfg.faces),
    }
    with whole_file(reports / "index.html") as beside:
        beside.write_text(template.page(TEMPLATE, context), encoding="utf-8")
    log.info("%s: %d entries; open %s in a browser", cfg.study, len(table), reports / "index.html")


def drawn_valid(params: Mapping[str, str]) -> float:
    """The share of train that became valid, by a run's MLflow parameters; 0 where the data came with a valid."""
    return json.loads(params.get("data.layout", "{}")).get("valid_share", 0)


def read_reports(reports: Path, study: str) -> tuple[dict[str, Any], pd.DataFrame, dict[str, pd.DataFrame]]:
    """ranking.json, ranking.csv and the tables of compare by name; UserError unless they are of this study's runs."""
    again = f"run python -m pipeline.rank and python -m pipeline.compare for study={study} first"
    about = read_json(reports / "ranking.json", again)
    table = read_table(reports / "ranking.csv", again, keep_default_na=False, na_values=[""])
    tables = {file.stem: read_table(file, again) for file in sorted((reports / "tables").glob("*.csv"))}
    try:
        compared = tables["per_run"]["run_ids"].tolist()
        drawn(reports / "figures")[0]
    except (FileNotFoundError, KeyError, IndexError) as error:
        raise UserError(
            f"{reports}: {error if isinstance(error, KeyError) else 'figures'} is not there; {again}"
        ) from None
    if about.get("study") != study or not about.get("run_ids") == compared == table["run_ids"].tolist():
        raise UserError(f"{reports}: ranking and tables are not of the same runs of {study}; {again}")
    return about, table, tables


def tested_apart(table: pd.DataFrame, tags: Mapping[str, Mapping[str, str]]) -> str:
    """What to say when runs of the ranking, by their MLflow tags, were tested on different images; "" when none were.

    Not the digest of the pixels: rgb and grayscale arrays of the same images agree in `test_set` alone.
    """
    found = [tags.get(run_id, {}).get("test_set") for run_id in " ".join(table["run_ids"]).split()]
    counts = Counter(each for each in found if each)  # nothing is known of those not evaluated
    if len(counts) < 2:
        return ""
    return (
        f"the {counts.total()} evaluated runs were tested on {len(counts)} different sets of images, so do not compare "
        "their figures on test; evaluate them again on the same images"
    )


def published(file: Path) -> dict[tuple, float]:
    """Best accuracies that the study published, by model, optimizer, channels and batch size; {} without the file.

    The file spells a model as the study does; conf/import_histories.yaml says how that is called here.
    """
    if not file.exists():
        return {}
    figures = pd.read_csv(file).query("data == 'augment'")
    names = OmegaConf.load(cli.CONF / "import_histories.yaml").models
    figures["model"] = figures["model"].map(OmegaConf.to_container(names))
    keys = figures[["model", "optimizer", "channels", "batch_size"]].itertuples(index=False, name=None)
    return dict(zip(keys, figures["best_val_accuracy"], strict=True))


def rows(table: pd.DataFrame, beside: dict[tuple, float]) -> list[dict[str, Any]]:
    """The ranking's rows, each with what was `published` for the same choices, or None.

    `beside` is of trainings with the study's augmentation and without balancing, by model, optimizer, channels and
    batch size.
    """
    found = []
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        key = (row["model"], row["optimizer"], row["channels"], row["batch_size"])
        as_published = row["augment"] == "study" and row["balance"] == "none"
        found.append(row | {"published": beside.get(key) if as_published else None})
    return found


def axis(table: pd.DataFrame) -> dict[str, float]:
    """Ends of the scale of intervals: a few runs that did not learn must not press the rest together."""
    low, high = table["low"].quantile(0.05), table["high"].max()
    return {"low": max(low - 0.1 * (high - low), table["low"].min()), "high": high}


def best(store: tracking.Store, row: pd.Series, resized: Path, faces: int) -> dict[str, Any]:
    """What there is to show of the best run: curves, pictures and figures of its evaluation, its worst mistakes."""
    run_id = row["run_id"]
    pictures = {}
    for split in ("valid", "test"):
        for kind in PLOTS:
            file = predictions.artifact(store, run_id, f"evaluate/{split}_{kind}.png")
            pictures[f"{split}_{kind}"] = file and embed(file)
    report = predictions.artifact(store, run_id, REPORT)
    return {
        "run": row["run"],
        "command": row["command"],
        "curves": curves(store, run_id, row["best_epoch"], row["run"]),
        "pictures": pictures,
        "report": read_json(report, f"evaluate {row['run']} again") if report else None,
        "faces": worst_faces(store, row, resized, faces),
    }


def curves(store: tracking.Store, run_id: str, best_epoch: int, title: str) -> str | None:
    """The run's learning curves as a data URI, drawn from MLflow; None when it logged no epoch."""
    history = histories.read(store, [run_id])
    if history.empty:
        return None
    png = io.BytesIO()
    run_plots.learning_curves(history, best_epoch, title).savefig(png, dpi=run_plots.DPI)
    return template.data_uri(png.getvalue(), "image/png")


def worst_faces(store: tracking.Store, row: pd.Series, resized: Path, faces: int) -> list[dict[str, Any]] | str:
    """The faces of valid that the run was most surely wrong about, or why none can be shown."""
    table = predictions.valid(store, row["run_id"])
    if table is None:
        return "the run was not evaluated here"
    digest = store.run(row["run_id"]).data.tags["valid_digest"]
    return mistakes.with_faces(mistakes.worst(table, faces), resized / row["channels"], row["data"], digest)


def drawn(folder: Path) -> list[Path]:
    """The pictures in a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix in KINDS)


def embed(file: Path) -> str:
    """A picture file as a data URI."""
    return template.data_uri(file.read_bytes(), KINDS[file.suffix])


if __name__ == "__main__":
    cli.run("report")

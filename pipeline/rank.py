"""Rank an experiment's finished runs by best accuracy on valid, with intervals and what cannot be told from the best.

Reads MLflow and nothing else; writes reports/ranking.csv and ranking.json. Only FINISHED runs count, only the newest of
equal ones, and only runs that were validated on the same images are ranked together: those of the newest run. Runs that
differ in nothing but the seed are one entry, ranked by their mean. Where names repeat, an entry's `label` says what
tells it from the others. Test plays no part.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from pipeline.reporting import compare, predictions
from pipeline.reporting.ranking import TO_BEST, beside_best, finished, kept_differently, ranked, row, statistics
from pipeline.running import cli, tracking
from pipeline.running.errors import UserError
from pipeline.running.files import whole_file, write_json

log = logging.getLogger(__name__)

POINTS = "points to best"  # ranking.TO_BEST as a person reads it


def main(cfg: DictConfig) -> None:
    store = tracking.open_store(cfg.paths.tracking, cfg.study, create=False)
    store.reap()
    rows = [row(run) for run in finished(store)]
    table, left_out = ranked([each for each in rows if not each["apart"]])
    apart = [each for each in rows if each["apart"]]
    if table.empty:
        raise UserError(f"study={cfg.study}: no finished run to rank in {cfg.paths.tracking}; train one first")
    table = beside_best(table, lambda run_id: predictions.correct(store, run_id), cfg.confidence)
    reports = Path(cfg.paths.reports)
    with whole_file(reports / "ranking.csv") as beside:
        table.to_csv(beside, index=False)
    about = {
        "study": cfg.study,
        "run_ids": table["run_ids"].tolist(),
        "confidence": cfg.confidence,
        "valid_images": int(table["valid_images"].max()),
        "valid_digest": table["valid_digest"].iloc[0],
        "left_out": left_out,
        "apart": [{key: each[key] for key in ("run", "best_val_accuracy", "valid_images", "apart")} for each in apart],
        "cautions": sorted({each["caution"] for each in rows if each["caution"]}),
    }
    write_json(reports / "ranking.json", statistics(table) | about)
    print(page(table, cfg.top, cfg.bottom, left_out))
    for each in about["apart"]:
        print(f"Not ranked: {each['run']}, {each['best_val_accuracy']:.4f}: {each['apart']}.")
    for caution in about["cautions"]:
        print(f"Caution: {caution}.")
    log.info("%s ranked; see %s", _entries_said(len(table)), reports / "ranking.csv")


def page(table: pd.DataFrame, top: int, bottom: int, left_out: int) -> str:
    """The ranking as text for a terminal."""
    shown = ["rank", "label", "best_val_accuracy", "low", "high", POINTS, "tied_with_best", "best_epoch", "epochs"]
    table = table.assign(**{POINTS: [_points(*each) for each in table[TO_BEST].itertuples(index=False)]})
    shown = table[[*shown, "seeds"]].rename(columns={"label": "run"})
    figures = statistics(table)
    lines = [f"Top {min(top, len(table))} of {len(table)} by best accuracy on valid", _text(shown.head(top))]
    if bottom and len(table) > top:
        lines += ["", f"Bottom {min(bottom, len(table) - top)}", _text(shown.tail(min(bottom, len(table) - top)))]
    lines += ["", "  ".join(f"{name} {figures[name]:.4f}" for name in ("mean", "median", "max", "min"))]
    lines.append(f"{_entries_said(table['tied_with_best'].sum() - 1)} cannot be told from {figures['best_run']}.")
    if (table[TO_BEST[2]][~table["tied_with_best"]] > 0).any():
        lines.append("An interval may hold 0 where the test tells apart: it is the stricter of the two.")
    if repeats := int((table["seeds"] - 1).sum()):
        known = "1 repeat" if repeats == 1 else f"{repeats} repeats"
        lines.append(f"How seeds scatter is known from {known}: the fewer, the less can be told apart.")
    if flattered := kept_differently(table):
        lines.append(f"{flattered}.")
    if unpaired := (table["compared_by"] == compare.UNPAIRED).sum():
        lines.append(
            f"{unpaired} of the {len(table) - 1} others were compared with it without predictions, which tells less "
            "apart; a run trained here gets them by python -m pipeline.evaluate run=<folder>."
        )
    if left_out:
        lines.append(f"{left_out} finished runs were validated on other images and are not ranked with these.")
    return "\n".join(lines)


def _entries_said(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _points(to_best: float, low: float, high: float) -> str:
    return "" if np.isnan(to_best) else f"{100 * to_best:+z.1f} ({100 * low:+z.1f} to {100 * high:+z.1f})"


def _text(table: pd.DataFrame) -> str:
    figures = dict.fromkeys(("best_val_accuracy", "low", "high"), "{:.4f}".format)
    return table.to_string(index=False, formatters=figures | {"tied_with_best": {True: "yes", False: ""}.get})


if __name__ == "__main__":
    cli.run("rank")

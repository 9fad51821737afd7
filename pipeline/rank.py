"""Rank a data set's finished runs by best accuracy on valid: top, bottom, mean, median; writes reports/ranking.csv.

Reads MLflow and nothing else. Only FINISHED runs count, only the newest of equal ones, and only runs that were
validated on the same images are ranked together: those of the newest run. Test plays no part.
"""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Run
from omegaconf import DictConfig

from pipeline import cli, tracking
from pipeline.errors import UserError
from pipeline.files import whole_file, write_json

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    store = tracking.open_store(cfg.paths.tracking, cfg.data.name)
    store.reap()
    table, left_out = ranking([row(run) for run in store.finished({})])
    if table.empty:
        raise UserError(f"data={cfg.data.name}: no finished run to rank in {cfg.paths.tracking}; train one first")
    reports = Path(cfg.paths.reports)
    with whole_file(reports / "ranking.csv") as beside:
        table.to_csv(beside, index=False)
    write_json(reports / "ranking.json", statistics(table))
    print(page(table, cfg.top, cfg.bottom, left_out))
    log.info("%d runs ranked; see %s", len(table), reports / "ranking.csv")


def row(run: Run) -> dict[str, Any]:
    """What the ranking shows of a FINISHED MLflow run."""
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    return {
        "run": run.info.run_name,
        "model": params["model.name"],
        "optimizer": params["optimizer.name"],
        "channels": params["channels.name"],
        "batch_size": int(params["batch_size"]),
        "data": params["data.name"],
        "augment": params["augment.name"],
        "epochs": int(params["epochs"]),
        "best_epoch": int(metrics["best_epoch"]),
        "best_val_accuracy": metrics["best_val_accuracy"],
        "valid_images": int(tags["valid_images"]),
        "parameters": int(tags["parameters"]),
        "seed": int(params["seed"]),
        "valid_digest": tags["valid_digest"],
        "point": (tags["config_hash"], tags["train_digest"], tags["valid_digest"]),
        "ended": run.info.end_time,
        "run_id": run.info.run_id,
        "command": tags["command"],
    }


def ranking(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, int]:
    """Rows (newest first) as a table with `rank` from 1, and how many were left out for other validation images.

    Of runs with equal config and data the newest counts. Runs with equal accuracy share a rank (1, 2, 2, 4).
    """
    table = pd.DataFrame(rows)
    if table.empty:
        return table, 0
    table = table.sort_values("ended", ascending=False, kind="stable").drop_duplicates("point")
    comparable = table[table["valid_digest"] == table["valid_digest"].iloc[0]]
    left_out = len(table) - len(comparable)
    comparable = comparable.sort_values(["best_val_accuracy", "run"], ascending=[False, True], kind="stable")
    rank = comparable["best_val_accuracy"].rank(ascending=False, method="min").astype(int)
    comparable = comparable.drop(columns=["point", "ended", "valid_digest"])
    comparable.insert(0, "rank", rank)
    return comparable.reset_index(drop=True), left_out


def statistics(table: pd.DataFrame) -> dict[str, Any]:
    """Count, mean, median, max and min of best_val_accuracy over a ranking, and the first run's name."""
    accuracy = table["best_val_accuracy"]
    return {
        "runs": len(table),
        "best_run": table["run"].iloc[0],
        **{name: float(getattr(accuracy, name)()) for name in ("mean", "median", "max", "min")},
    }


def page(table: pd.DataFrame, top: int, bottom: int, left_out: int) -> str:
    """The ranking as text for a terminal."""
    shown = ["rank", "run", "best_val_accuracy", "best_epoch", "epochs", "parameters", "seed"]
    figures = statistics(table)
    lines = [f"Top {min(top, len(table))} of {len(table)} by best accuracy on valid", _text(table[shown].head(top))]
    if len(table) > top:
        lines += [
            "",
            f"Bottom {min(bottom, len(table) - top)}",
            _text(table[shown].tail(min(bottom, len(table) - top))),
        ]
    lines += ["", "  ".join(f"{name} {figures[name]:.4f}" for name in ("mean", "median", "max", "min"))]
    if left_out:
        lines.append(f"{left_out} finished runs were validated on other images and are not ranked with these.")
    return "\n".join(lines)


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, formatters={"best_val_accuracy": "{:.4f}".format, "parameters": "{:,}".format})


if __name__ == "__main__":
    cli.run("rank")

"""Compare an experiment's finished runs: figures and tables over all of them, and a diagram of each architecture.

Reads MLflow, and for the class counts what clean and balance wrote; writes reports/figures/ and reports/tables/. The
runs are those that `rank` ranks: finished, validated on the same images, seeds of one point as one entry.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from pipeline.labels import LABELS, SPLITS
from pipeline.reporting import compare, histories, intervals, ranking, study_plots
from pipeline.reporting.run_plots import DPI
from pipeline.running import cli, tracking
from pipeline.running.cleaned import AGAIN, summary_of
from pipeline.running.errors import UserError
from pipeline.running.files import whole_folder
from pipeline.running.outputs import read_json, read_table

log = logging.getLogger(__name__)

CHOICES = ("model", "optimizer", "channels", "batch_size", "augment", "balance", "data", "epochs")
MEASURES = {"accuracy": "highest", "val_accuracy": "highest", "loss": "lowest", "val_loss": "lowest"}


def main(cfg: DictConfig) -> None:
    if unknown := [choice for choice in cfg.choices if choice not in CHOICES]:
        raise UserError(f"choices={unknown[0]}: no choice of a run; expected some of {', '.join(CHOICES)}")
    store = tracking.open_store(cfg.paths.tracking, cfg.study, create=False)
    rows = [row for row in map(ranking.row, ranking.finished(store)) if not row["apart"]]
    table, _ = ranking.ranked(rows)
    if table.empty:
        raise UserError(f"study={cfg.study}: no finished run to compare in {cfg.paths.tracking}; train one first")
    table["low"], table["high"] = intervals.wilson(table["best_val_accuracy"], table["valid_images"], cfg.confidence)
    history = histories.read(store, [id for ids in table["run_ids"] for id in ids.split()])
    history["spent"] = cpu_seconds_spent(history, {row["run_id"]: row["earlier_run_ids"] for row in rows}, store)
    log.info("%s: %d entries, %d epochs", cfg.study, len(table), len(history))

    tables = compared(table, history, cfg.choices, cfg.confidence)
    counts = class_counts(Path(cfg.paths.clean), Path(cfg.paths.balanced), cfg.data.name)
    reports = Path(cfg.paths.reports)
    with (
        whole_folder(reports / "tables", "per_run.csv") as beside,
        whole_folder(reports / "figures", "histogram.png") as folder,  # both or neither: the page shows them together
    ):
        for name, each in tables.items():
            each.to_csv(beside / f"{name}.csv", index=False)
        for name, figure in figures(table, history, tables, cfg):
            figure.savefig(folder / f"{name}.png", dpi=DPI)
        if counts is not None:
            counts.to_csv(beside / "class_counts.csv")
            study_plots.class_counts(counts).savefig(folder / "class_counts.png", dpi=DPI)
        diagrams(table.drop_duplicates("model").set_index("model")["image_size"].sort_index().to_dict(), folder)
    log.info("see %s and %s", reports / "figures", reports / "tables")


def compared(
    table: pd.DataFrame, history: pd.DataFrame, choices: Sequence[str], confidence: float
) -> dict[str, pd.DataFrame]:
    """Tables by name: extremes, per_run, main_effects, and rgb_vs_grayscale where both were run.

    Values outside `choices` (a learning rate, say) are no part of main_effects but scatter, which widens its intervals;
    where they go along with a choice they are taken for its effect. `table` is a ranking, `history` has a row per run
    and epoch.
    """
    tables = {
        "per_run": per_run(table, history),
        "main_effects": compare.main_effects(table, choices, "best_val_accuracy", confidence).assign(
            confidence=confidence
        ),
    }
    tables["extremes"] = extremes(tables["per_run"])
    same = [choice for choice in CHOICES if choice != "channels" and choice in {*choices, "data", "epochs"}]
    pairs = compare.pairs(table, "channels", "rgb", "grayscale", [*same, "besides_channels"])
    if len(pairs):
        accuracy = (pairs[f"best_val_accuracy_{channels}"] for channels in ("rgb", "grayscale"))
        difference = compare.paired_difference(*accuracy, confidence)
        tables["rgb_vs_grayscale"] = pd.DataFrame([difference | {"confidence": confidence}])
        both = [f"{column}_{each}" for column in ("label", "best_val_accuracy") for each in ("rgb", "grayscale")]
        tables["rgb_vs_grayscale_pairs"] = pairs[[*same, *both]]
    return tables


def cpu_seconds_spent(history: pd.DataFrame, earlier: dict[str, str], store: tracking.Store) -> pd.Series:
    """Processor seconds, summed over cores, until the end of each row of `history`, those of earlier runs with them.

    `earlier` names the runs that a run went on from or learned from, separated by spaces; of runs of another experiment
    the store is asked. Each of them, and of those before them, counts once, however often it was used. NaN where one of
    them is not known or did not log its times.
    """
    earlier = {ranking.UNKNOWN: ""} | earlier

    @cache
    def before(run_id: str) -> frozenset[str]:
        run = None if run_id in earlier else store.run(run_id)
        ids = (ranking.earlier_runs(run) if run else earlier.get(run_id, "")).split()
        return frozenset(ids).union(*map(before, ids))

    @cache
    def took(run_id: str) -> float:
        own = histories.read(store, [run_id], ["epoch_cpu_seconds"])["epoch_cpu_seconds"]
        return own.sum(skipna=False, min_count=1)

    own = history.sort_values("epoch").groupby("run_id")["epoch_cpu_seconds"].cumsum(skipna=False)
    return own + history["run_id"].map(lambda run_id: sum(map(took, sorted(before(run_id)))))


def per_run(table: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Each entry's highest accuracy and lowest loss on train and valid, over all epochs; of several seeds the mean.

    `cpu_seconds` are those until its end, NaN where they are not known.
    """
    grouped, entry = history.groupby("run_id"), entries(table)
    columns = {
        f"{kind}_{measure}": grouped[measure].max() if kind == "highest" else grouped[measure].min()
        for measure, kind in MEASURES.items()
    }
    of_entry = pd.DataFrame(columns).groupby(entry).mean()
    of_entry["cpu_seconds"] = grouped["spent"].max(skipna=False).groupby(entry).mean(skipna=False)
    return table[["rank", "run", "label", "run_id", "run_ids", "model"]].join(of_entry, on="run_id")


def entries(table: pd.DataFrame) -> dict[str, str]:
    """Of every run of a ranking the run that its entry goes by."""
    return {id: row.run_id for row in table.itertuples() for id in row.run_ids.split()}


def by_entry(table: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """A history with a row per entry and epoch, the mean of the entry's seeds, and what a table has of the entry.

    `best` is the mean of the accuracies of their best epochs so far, best as their `monitor` has it; its last is the
    accuracy that the entry is ranked by.
    """
    of_runs = history.sort_values("epoch")
    run, of_runs["run_id"] = of_runs["run_id"], of_runs["run_id"].map(entries(table))
    by_loss = of_runs["run_id"].map(table.set_index("run_id")["monitor"]) == "val_loss"
    watched = of_runs["val_accuracy"].mask(by_loss, -of_runs["val_loss"])
    before = watched.groupby(run).transform(lambda values: values.cummax().shift(fill_value=-np.inf))
    of_runs["best"] = of_runs["val_accuracy"].where(watched > before).groupby(run).ffill()
    means = of_runs.groupby(["run_id", "epoch"], as_index=False).mean(skipna=False)
    return means.merge(table[["run_id", "model", "optimizer", "channels", "batch_size"]], on="run_id")


def extremes(best: pd.DataFrame) -> pd.DataFrame:
    """For each measure the run that did best in it and the one that did worst, with mean and median over all."""
    rows = []
    for column in (f"{kind}_{measure}" for measure, kind in MEASURES.items()):
        values = best[column]
        if values.isna().all():
            continue
        high, low = best.loc[values.idxmax()], best.loc[values.idxmin()]
        rows.append(
            {
                "measure": column,
                "max": high[column],
                "max_run": high["label"],
                "min": low[column],
                "min_run": low["label"],
                "mean": values.mean(),
                "median": values.median(),
            }
        )
    return pd.DataFrame(rows)


def figures(table: pd.DataFrame, history: pd.DataFrame, tables: dict[str, pd.DataFrame], cfg: DictConfig):
    """Yield name and Figure, one at a time: a hundred at once would fill the memory."""
    means = by_entry(table, history)
    yield "top_and_bottom", study_plots.top_and_bottom(table, cfg.top, cfg.bottom, cfg.confidence)
    yield "histogram", study_plots.histogram(table["best_val_accuracy"], cfg.bins)
    if len(means):
        yield "heatmap", study_plots.heatmap(means, table)
        yield "boxes", study_plots.boxes(tables["per_run"])
    known = tables["per_run"].dropna(subset="cpu_seconds")["run_id"]  # what was imported has no times
    if len(timed := means[means["run_id"].isin(known)]):
        yield "cost", study_plots.cost(timed)
    if len(tables["main_effects"]):
        yield "main_effects", study_plots.effects(tables["main_effects"])
    if "rgb_vs_grayscale" in tables:
        summary = tables["rgb_vs_grayscale"].iloc[0].to_dict()
        yield (
            "rgb_vs_grayscale",
            study_plots.differences(tables["rgb_vs_grayscale_pairs"], summary, "rgb", "grayscale"),
        )
    yield from study_plots.learning_grids(means)


def class_counts(clean: Path, balanced: Path, data: str) -> pd.DataFrame | None:
    """Images by split, as given, kept by cleaning and balanced (rows), and emotion (columns); None for other data."""
    if not summary_of(clean, data):
        return None
    manifest = read_table(clean / "manifest.parquet", AGAIN.format(name=data), columns=["split", "label", "kept"])
    rows = {}
    for split in SPLITS:
        part = manifest[manifest["split"] == split]
        for name, some in (("as given", part), ("kept", part[part["kept"]])):
            count = some["label"].value_counts().reindex(range(len(LABELS)), fill_value=0)
            rows[f"{split}, {name}"] = dict(zip(LABELS, count, strict=True))
        if split == "train":
            rows |= balanced_counts(balanced, data)
    counts = pd.DataFrame(rows).T
    return counts.rename_axis("images")


def balanced_counts(balanced: Path, data: str) -> dict[str, dict[str, int]]:
    """Images by balanced training set of `data`, such as `train, balanced_1`, and emotion; those there are."""
    rows = {}
    for file in sorted(balanced.glob("*/*/dataset.json")):
        choice = f"balance={file.parents[1].name} channels={file.parent.name}"
        about = read_json(file, f"run python -m pipeline.balance again, with {choice}")
        if about["name"] == data and about["per_class"] is not None:
            rows[f"train, {file.parents[1].name}"] = about["counts"]
    return rows


def diagrams(models: Mapping[str, int], folder: Path) -> None:
    """Draw each architecture that conf/model/ still defines, for colour images of so many pixels, as <model>.svg."""
    from pipeline.reporting import diagram  # here: TensorFlow takes seconds to import, and the rest does without

    for name, size in models.items():
        file = cli.CONF / "model" / f"{name}.yaml"
        try:
            if file.exists():
                (folder / f"architecture_{name}.svg").write_text(diagram.draw(file, size), encoding="utf-8")
        except UserError as error:  # its function is gone, say: the runs are there to be compared all the same
            log.warning("not drawn: %s", error)


if __name__ == "__main__":
    cli.run("compare")

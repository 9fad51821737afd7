"""The ranking of finished runs as a table: which count, which are one entry, and what can't be told from the best."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run

from pipeline.reporting import compare, intervals
from pipeline.running import tracking
from pipeline.running.config import config_hash
from pipeline.running.errors import UserError

log = logging.getLogger(__name__)

UNKNOWN = "unknown"  # a run's earlier run, where a model file alone was named
TO_BEST = ["to_best", "to_best_low", "to_best_high"]  # of the accuracies, and the ends of the interval

LONGEST = 50  # characters of what tells entries of one name apart; more is not read


def finished(store: tracking.Store) -> list[Run]:
    """The experiment's FINISHED runs, newest first, without those that something else than this project logged."""
    runs = store.finished({})
    own = [run for run in runs if "config_hash" in run.data.tags]
    if len(own) < len(runs):
        log.info(
            "%d finished runs without the tag config_hash are not this project's and are left out", len(runs) - len(own)
        )
    return own


def row(run: Run) -> dict[str, Any]:
    """What the ranking shows of a FINISHED MLflow run; UserError where what its training noted was changed since."""
    try:
        return _row(run)
    except (KeyError, ValueError) as error:
        what = f"its {error}" if isinstance(error, KeyError) else f"a number of it ({error})"
        raise UserError(
            f"MLflow run {run.info.run_name} ({run.info.run_id}): {what} is not as the training noted it; "
            "mend it in MLflow, or delete the run there"
        ) from error


def _row(run: Run) -> dict[str, Any]:
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    of = {key: tags.get(key, "") for key in tracking.TRAINING_OF}
    choices = {key: value for key, value in params.items() if key != "seed"}
    # Arrays of other channels have other digests, whatever the images: their number and size have to do.
    besides = {key: value for key, value in choices.items() if not key.startswith("channels.")}
    besides |= {key: of[key] for key in tracking.BESIDES}
    size = tags["image_size"]
    besides |= {"train_images": tags.get("train_images", ""), "image_size": size}  # a history does not say the first
    return {
        "run": run.info.run_name,
        "model": params["model.name"],
        "optimizer": params["optimizer.name"],
        "channels": params["channels.name"],
        "batch_size": int(params["batch_size"]),
        "data": params["data.name"],
        "balance": params["balance.name"],
        "augment": params["augment.name"],
        "epochs": int(params["epochs"]),
        "best_epoch": int(metrics["best_epoch"]),
        "best_val_accuracy": metrics["best_val_accuracy"],
        "monitor": params.get("monitor", "val_accuracy"),
        "config_hash": tags["config_hash"],
        "params": params | {"image_size": size},
        "valid_images": int(tags["valid_images"]),
        "parameters": int(tags["parameters"]),
        "image_size": int(size),
        "seed": int(params["seed"]) if "seed" in params else None,
        # rgb and grayscale arrays of the same images differ in valid_digest and agree in valid_set
        "valid_digest": tags.get("valid_set", tags["valid_digest"]),
        "point": tuple(of.values()),
        "choices": config_hash(of | {"config_hash": config_hash(choices)}),  # the same for every seed
        "besides_channels": config_hash(besides),  # the same for runs that differ in channels and seed alone
        "ended": run.info.end_time,
        "run_id": run.info.run_id,
        "apart": tags.get("apart", ""),
        "caution": tags.get("caution", ""),
        "command": tags["command"],
        "earlier_run_ids": earlier_runs(run),
    }


def earlier_runs(run: Run) -> str:
    """The ids, separated by spaces, of the runs that this one went on from or learned from, which may be the same.

    UNKNOWN stands for models that are of no run.
    """
    named = (
        tag for choice, tag in tracking.EARLIER.items() if run.data.params.get(choice, "None") not in ("None", "[]")
    )
    return " ".join(run.data.tags.get(tag, UNKNOWN) for tag in named)


def ranked(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, int]:
    """Rows (newest first) as a table with `rank` from 1, and how many were left out for other validation images.

    Of runs with equal config and data the newest counts; runs that differ in the seed alone are one entry. Entries with
    equal accuracy share a rank (1, 2, 2, 4). `label` is a run's name, with what tells it from others of that name.
    """
    table = pd.DataFrame(rows)
    if table.empty:
        return table, 0
    table = table.sort_values("ended", ascending=False, kind="stable").drop_duplicates("point")
    comparable = table[table["valid_digest"] == table["valid_digest"].iloc[0]]
    left_out = len(table) - len(comparable)
    entries = _entries(comparable).sort_values(["best_val_accuracy", "run"], ascending=[False, True], kind="stable")
    entries.insert(0, "rank", entries["best_val_accuracy"].rank(ascending=False, method="min").astype(int))
    entries = entries.reset_index(drop=True)
    entries.insert(2, "label", _labels(entries))
    return entries.drop(columns="params"), left_out


def _entries(table: pd.DataFrame) -> pd.DataFrame:
    """A row per point, whatever its seeds: best_val_accuracy is their mean, the rest is of the seed that did best.

    Adds `seeds` (how many), `spread` (highest less lowest accuracy) and `sd` (sample standard deviation), the last two
    NaN for one seed, and `run_ids`, separated by spaces.
    """
    groups = table.sort_values("best_val_accuracy", ascending=False, kind="stable").groupby("choices", sort=False)
    entries = groups.head(1).set_index("choices")
    accuracy = groups["best_val_accuracy"]
    entries["best_val_accuracy"] = accuracy.mean()
    entries["seeds"] = groups.size()
    entries["spread"] = (accuracy.max() - accuracy.min()).where(entries["seeds"] > 1)
    entries["sd"] = accuracy.std()
    entries["run_ids"] = groups["run_id"].agg(" ".join)
    entries["seed"] = entries["seed"].astype("Int64")
    return entries.reset_index(drop=True).drop(columns=["point", "ended", "apart", "caution"])


def _labels(entries: pd.DataFrame) -> pd.Series:
    """Names that tell entries apart: where several runs have one, with what differs between them."""
    labels = entries["run"].copy()
    for name, some in entries.groupby("run"):
        if len(some) > 1:
            # The second is the name of the run's folder; the third is for runs whose configs are equal too.
            each = (
                _differing(some),
                name + "-" + some["config_hash"].str[:8],
                name + ", run " + some["run_id"].str[:8],
            )
            labels[some.index] = next(found for found in each if found is not None and found.is_unique)
    return labels


def _differing(some: pd.DataFrame) -> pd.Series | None:
    """The names of runs with the values that are not the same in all; None when that is too much to read."""
    params = pd.DataFrame(some["params"].tolist(), index=some.index).drop(columns="seed", errors="ignore")
    params = params.loc[:, params.nunique(dropna=False) > 1]
    shown = params.rename(columns=lambda key: key.rpartition(".")[2]).apply(
        lambda values: ", ".join(f"{key}={value}" for key, value in values.items()), axis=1
    )
    readable = not params.isna().any(axis=None) and (shown.str.len() <= LONGEST).all()
    return some["run"] + ", " + shown if readable and len(params.columns) else None


def beside_best(table: pd.DataFrame, correct: Callable[[str], pd.Series | None], confidence: float) -> pd.DataFrame:
    """A ranking with the interval of every accuracy (`low`, `high`) and whether it can be told from the best.

    `correct` gives for a run id which images of valid, by id, it got right, or None. `tied_with_best` is true when the
    p-value, adjusted as if every pair of entries had been compared, is at least 1 - confidence; `compared_by` names the
    test. `to_best` is how far an entry is from the best, below 0, with an interval for all pairs at once: where two
    can't be told apart, it says how large their difference may still be. The best was picked for being highest, so all
    of that is a little too low.
    """
    (best, *others) = (entry for _, entry in table.iterrows())
    best_right = _shares(best, correct)
    # When the best was not evaluated, nothing can be paired with it and no other file needs to be fetched.
    tests = [
        _test(table, best, best_right, other, None if best_right is None else _shares(other, correct))
        for other in others
    ]
    low, high = intervals.wilson(table["best_val_accuracy"], table["valid_images"], confidence)
    p_values = [1.0, *compare.against_best([p_value for _, p_value, _ in tests])]
    together = compare.for_all_pairs(confidence, len(table))
    added = {
        "low": low,
        "high": high,
        "tied_with_best": [p_value >= 1 - confidence for p_value in p_values],
        "p_value": p_values,
        "compared_by": ["", *(name for *_, name in tests)],
    }
    front = ["rank", "run", "label", "model", "optimizer", "channels", "batch_size", "data", "epochs", "best_epoch"]
    front += ["best_val_accuracy", "low", "high", "seeds", "spread", "sd", "tied_with_best", "p_value", "compared_by"]
    front += TO_BEST
    table = table.assign(**added)
    table[TO_BEST] = [(np.nan,) * 3, *((each.mean, *each.interval(together)) for each, _, _ in tests)]
    return table[front + [column for column in table if column not in front]]


def _shares(entry: pd.Series, correct: Callable[[str], pd.Series | None]) -> pd.Series | None:
    """Of each image the share of the entry's seeds that got it right; None unless all are known and of equal images."""
    right = [correct(run_id) for run_id in entry["run_ids"].split()]
    if any(each is None or not each.index.equals(right[0].index) for each in right):
        return None
    return sum(each.astype(float) for each in right) / len(right)


def _test(
    table: pd.DataFrame, best: pd.Series, best_right, other: pd.Series, other_right
) -> tuple[compare.Difference, float, str]:
    """The difference of another entry to the best, the p-value that it is none, and by which test."""
    seeds = compare.scatter_of_seeds(table, pd.DataFrame([best, other]))
    if best_right is None or other_right is None or not best_right.index.equals(other_right.index):
        accuracies, images = ((other[key], best[key]) for key in ("best_val_accuracy", "valid_images"))
        difference = compare.of_proportions(*accuracies, *images, seeds)
        return difference, difference.p_value, compare.UNPAIRED
    right = other_right.to_numpy(), best_right.to_numpy()
    difference = compare.on_same_images(*right, seeds)
    if seeds:
        return difference, difference.p_value, "paired t over images and seeds"
    return difference, compare.mcnemar(*(each == 1 for each in right)), "McNemar mid-p"


def statistics(table: pd.DataFrame) -> dict[str, Any]:
    """Count, mean, median, max and min of best_val_accuracy over a ranking, and the first run's label."""
    accuracy = table["best_val_accuracy"]
    return {
        "runs": len(table),
        "best_run": table["label"].iloc[0],
        **accuracy.agg(["mean", "median", "max", "min"]).to_dict(),
    }


def kept_differently(table: pd.DataFrame) -> str:
    """What to say where valid chose the epochs of some entries in another way, or from more; "" where of all alike."""
    if table["monitor"].nunique() == table["epochs"].nunique() == 1:
        return ""
    return (
        "Each run kept its best epoch on valid: one of more epochs, or whose epoch was chosen by its accuracy, had "
        "more tries at a high figure than another, which flatters it, the more the fewer images valid has; no "
        "interval here counts that"
    )

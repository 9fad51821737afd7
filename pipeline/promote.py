"""Make the best evaluated run of an experiment the champion, if valid says that it is not worse than the present one.

The champion is the version of a registered MLflow model that bears the alias `champion`. The best is the FINISHED and
evaluated run with the highest accuracy on valid, of those that were validated on the same images as the newest one. It
is promoted when there is no champion yet, unless runs on other images were left out; or when the interval of their
difference, paired over the images of valid, begins at -margin or above: a tie leaves the champion where it is. The best
was picked for being highest: the interval is the wider the more runs stood (Bonferroni). Test plays no part. The same
command again changes nothing.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from omegaconf import DictConfig

from pipeline.reporting import compare, predictions, ranking
from pipeline.running import cli, tracking
from pipeline.running.errors import UserError
from pipeline.running.run_folder import MODEL

log = logging.getLogger(__name__)

CHAMPION = "champion"
ACCURACY = "valid.accuracy"  # which evaluate logs


def main(cfg: DictConfig) -> None:
    name = cfg.registered_model
    if not re.fullmatch(r"[\w. -]+", name):
        raise UserError(f"registered_model={name}: expected letters, digits, spaces and . _ - only")
    store = tracking.open_store(cfg.paths.tracking, cfg.study, create=False)
    champion = reigning(store, name)
    best = best_run(ranking.finished(store), champion.run_id if champion else "")
    if best is None:
        raise UserError(
            f"study={cfg.study}: no finished run is evaluated; python -m pipeline.evaluate run=<its folder>"
        )
    if best["left_out"] and not champion and not cfg.replace:
        raise UserError(
            f"study={cfg.study}: {best['left_out']} evaluated runs were validated on other images than {title(best)}, "
            "and no champion says which count; delete the runs on the wrong images in MLflow, or replace=true makes "
            "this one the champion"
        )
    with store.asked():
        files = {file.path for file in store.client.list_artifacts(best["run_id"], "train")}
    if MODEL not in files:
        raise UserError(f"{title(best)}: is the best on valid, but its {MODEL} is gone from MLflow; train it again")
    print(f"The best of {len(best['stood'])} evaluated runs: {title(best)}, {best['accuracy']:.2%} on valid.")
    if best["caution"]:
        print(f"Caution: {best['caution']}.")
    if best["left_out"]:
        print(f"{best['left_out']} evaluated runs were validated on other images and did not stand.")
    if champion and champion.run_id == best["run_id"]:
        print(f"It is the champion of {name} already, version {champion.version}. Nothing changed.")
        return
    if champion and not cfg.replace:
        challengers = len(set(best["stood"]) - {champion.run_id})
        difference = paired(store, best, champion, 1 - (1 - cfg.confidence) / challengers)
        print(verdict(difference, cfg.margin, cfg.confidence, challengers))
        if difference["low"] < -cfg.margin:
            print(f"Version {champion.version} stays the champion of {name}.")
            return
    version = registered(store, name, best)
    with store.asked():
        store.client.set_registered_model_alias(name, CHAMPION, version)
    before = f"in place of version {champion.version}" if champion else "the first one"
    print(f"It is the champion of {name} now: version {version}, {before}.")
    log.info("ask MLflow for models:/%s@%s", name, CHAMPION)


def best_run(runs: Sequence[Run], champion: str) -> dict[str, Any] | None:
    """The run with the highest accuracy on valid, as `ranking.row` shows it, with `accuracy` and the ids that `stood`.

    `runs` are FINISHED ones, newest first; those not evaluated, set apart, or validated on other images than the newest
    evaluated one do not stand, and `left_out` counts the last of these. Of equals the one with the id `champion` wins,
    then the newest. None when none stands.
    """
    evaluated = [run for run in runs if ACCURACY in run.data.metrics and not run.data.tags.get("apart")]
    rows = [ranking.row(run) | {"accuracy": run.data.metrics[ACCURACY]} for run in evaluated]
    stands = [row for row in rows if row["valid_digest"] == rows[0]["valid_digest"]]
    if not stands:
        return None
    best = max(stands, key=lambda row: (row["accuracy"], row["run_id"] == champion, row["ended"]))
    return best | {"stood": [row["run_id"] for row in stands], "left_out": len(rows) - len(stands)}


def reigning(store: tracking.Store, name: str) -> ModelVersion | None:
    """The version of the registered model `name` that is the champion; None when there is none."""
    with store.asked():
        models = store.client.search_registered_models(f"name = '{name}'")
        version = models[0].aliases.get(CHAMPION) if models else None
        return store.client.get_model_version(name, version) if version else None


def paired(store: tracking.Store, best: dict[str, Any], champion: ModelVersion, confidence: float) -> dict[str, float]:
    """How much more of the images of valid `best` gets right than the champion: `mean`, `low` and `high`, and `images`.

    McNemar's test, by which the ranking tells them apart, is of the same question. UserError when the champion did not
    predict the same images.
    """
    which = f"version {champion.version} of {champion.name}, the champion"
    otherwise = "replace=true makes the best run champion without comparing them"
    if not champion.run_id or store.status(champion.run_id) is None:  # registered by hand, it may have none
        raise UserError(f"{which}: it has no run in this experiment; {otherwise}")
    run = store.run(champion.run_id)
    if "config_hash" not in run.data.tags:
        raise UserError(f"{which}: its run is not one that this project trained; {otherwise}")
    reigns = ranking.row(run)
    if reigns["valid_digest"] != best["valid_digest"]:
        raise UserError(f"{which}: was validated on other images than {title(best)}; {otherwise}")
    right = [_right(store, row) for row in (best, reigns)]
    difference = compare.on_same_images(*(each.to_numpy() for each in right))
    low, high = difference.interval(confidence)
    return {"mean": difference.mean, "low": low, "high": high, "images": len(right[0])}


def _right(store: tracking.Store, row: dict[str, Any]) -> pd.Series:
    right = predictions.correct(store, row["run_id"])
    if right is None:
        raise UserError(f"{title(row)}: its predictions are gone from MLflow; evaluate it again")
    return right


def verdict(difference: dict[str, float], margin: float, confidence: float, challengers: int) -> str:
    """One line: the difference to the champion in points, its interval, and what follows from it."""
    mean, low, high = (100 * difference[key] for key in ("mean", "low", "high"))
    by = f" by more than {100 * margin:g} points" if margin else ""
    meaning = f"it may be worse{by}" if low < -100 * margin else f"it is not worse{by}"
    widened = f", widened because it is the best of {challengers} that are not the champion" if challengers > 1 else ""
    return (
        f"Against the champion: {mean:+.2f} points, {100 * confidence:g}% interval {low:+.2f} to {high:+.2f} "
        f"(paired over the same {difference['images']:,} images of valid{widened}): {meaning}."
    )


def registered(store: tracking.Store, name: str, best: dict[str, Any]) -> int:
    """The version of the registered model `name` that is this run's model; registered when it was not yet."""
    client = store.client
    with store.asked():
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        known = client.search_model_versions(f"name = '{name}' and run_id = '{best['run_id']}'")
        if known:
            return known[0].version
        source = f"{client.get_run(best['run_id']).info.artifact_uri}/train"
        about = f"{best['run']}: {best['accuracy']:.2%} on valid"
        return client.create_model_version(name, source, best["run_id"], description=about).version


def title(row: dict[str, Any]) -> str:
    """A run's name with the start of its id, which names it among others with the same choices."""
    return f"{row['run']} ({row['run_id'][:8]})"


if __name__ == "__main__":
    cli.run("promote")

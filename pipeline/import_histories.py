"""Import Keras training histories (JSON) as finished MLflow runs, so that published and new runs stand side by side.

A file is named <model>_<optimizer>_<channels>_<batch size>_<ending>_history.json and holds a list per measure, one
value per epoch. All files are read and checked before the first run is made; what was imported before is skipped.
"""

import hashlib
import json
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.running import cli, tracking
from pipeline.running.config import config_hash, flatten, run_name
from pipeline.running.errors import UserError
from pipeline.running.outputs import readable
from pipeline.running.progress import progress

log = logging.getLogger(__name__)

MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")


def main(cfg: DictConfig) -> None:
    names = OmegaConf.to_container(cfg, resolve=True)
    with readable(f"folder={cfg.folder}", "name a folder of training histories such as Keras returns"):
        files = [file for file in sorted(Path(cfg.folder).iterdir()) if file.suffix == ".json"]
    if not files:
        raise UserError(f"folder={cfg.folder}: no .json file there; expected training histories such as Keras returns")
    runs = [read_run(file, names) for file in files]
    store = tracking.open_store(cfg.paths.tracking, cfg.study, create=True)
    store.reap()
    known = {key(run.data.tags) for run in store.finished({}) if "history_sha256" in run.data.tags}
    new = [run for run in runs if key(run["tags"]) not in known]
    for run in progress(new, len(new), "import", "runs"):
        write_run(store, run)
    log.info("%s: %d runs imported, %d were there already", cfg.study, len(new), len(runs) - len(new))


def key(tags: Mapping[str, str]) -> tuple[str, ...]:
    """What tells an imported run from another: what its file's name says and the content of the file."""
    return tuple(tags[each] for each in ("config_hash", "train_digest", "history_sha256"))


def read_run(file: Path, names: Mapping[str, Any]) -> dict[str, Any]:
    """Name, params, tags, per-epoch history and summary figures of the run that `file` holds.

    `names` is the step's config. Raises UserError, naming the file, when its name or its content is not as expected.
    """
    choices = read_name(file, names)
    with readable(file, "grant access to it, or take it out"):
        content = file.read_bytes()
    history = read_history(file, content)
    ending = names["endings"][choices.pop("ending")]
    params = {
        **{group: {"name": choices[group]} for group in ("model", "optimizer", "channels")},
        "batch_size": choices["batch_size"],
        "epochs": len(history["loss"]),
        "augment": {"name": ending["augment"]},
        "balance": {"name": ending["balance"]},
        "data": {"name": names["trained_on"]},
    }
    images = ending["images"]
    if ending["whole_batches"]:
        images -= images % choices["batch_size"]
    train = f"published-{names['trained_on']}-{ending['balance']}"
    tags = {
        "history_sha256": hashlib.sha256(content).hexdigest(),
        "config_hash": config_hash(params),
        "train_digest": train,
        "valid_digest": ending["valid_digest"],
        "valid_images": str(images),
        "image_size": str(names["image_size"]),
        "parameters": str(names["parameters"][choices["model"]][choices["channels"]]),
        "caution": names["caution"],
        "apart": ending["apart"],
        "command": command(params),
    }
    return {
        "name": run_name(params),
        "params": flatten(params),
        "tags": tags,
        "history": history,
        "summary": summarise(history),
    }


def read_name(file: Path, names: Mapping[str, Any]) -> dict[str, Any]:
    """The choices that a file's name spells: model, optimizer, channels, batch_size, ending."""

    def one_of(values) -> str:
        return "|".join(re.escape(value) for value in values)

    pattern = (
        f"(?P<model>{one_of(names['models'])})_(?P<optimizer>{one_of(names['optimizers'])})"
        f"_(?P<channels>{one_of(names['channels'])})_(?P<batch_size>[1-9][0-9]*)"
        f"_(?P<ending>{one_of(names['endings'])})_history.json"
    )
    found = re.fullmatch(pattern, file.name)
    if not found:
        raise UserError(
            f"{file}: unknown name; expected <model>_<optimizer>_<channels>_<batch size>_<ending>_history.json with "
            f"model {', '.join(names['models'])}; optimizer {', '.join(names['optimizers'])}; channels "
            f"{', '.join(names['channels'])}; ending {', '.join(names['endings'])}. Rename it, or take it out"
        )
    choices = found.groupdict()
    return choices | {"model": names["models"][choices["model"]], "batch_size": int(choices["batch_size"])}


def read_history(file: Path, content: bytes) -> dict[str, list[float]]:
    """The measures of a history, lists of equal length; an accuracy is 0..1. UserError for anything else."""
    try:
        history = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: is not JSON ({error}); take it out, or fetch it again") from None
    if not isinstance(history, dict) or not all(isinstance(history.get(measure), list) for measure in MEASURES):
        found = ", ".join(history) if isinstance(history, dict) else type(history).__name__
        raise UserError(f"{file}: expected the lists {', '.join(MEASURES)}, found {found}; take it out")
    lengths = {measure: len(history[measure]) for measure in MEASURES}
    if len(set(lengths.values())) > 1 or not lengths["loss"]:
        raise UserError(f"{file}: expected one value per epoch in every list, found {lengths}; take it out")
    for measure in MEASURES:
        highest = 1.0 if "accuracy" in measure else sys.float_info.max
        for epoch, value in enumerate(history[measure], 1):
            if type(value) not in (int, float) or not 0 <= value <= highest:
                shown = f"{value!r:.50}"  # a whole number in JSON may have thousands of digits
                raise UserError(f"{file}: {measure} in epoch {epoch} is {shown}, not a possible value; take it out")
    return {measure: history[measure] for measure in MEASURES}


def summarise(history: Mapping[str, list[float]]) -> dict[str, float]:
    """What a run is ranked by, under the names that training logs; `best_epoch` counts from 1, the first of equals."""
    best = history["val_accuracy"].index(max(history["val_accuracy"]))
    return {
        "best_val_accuracy": history["val_accuracy"][best],
        "best_epoch": best + 1,
        "val_loss_at_best": history["val_loss"][best],
    }


def command(params: Mapping[str, Any]) -> str:
    """The command that trains a run with the same choices here."""
    groups = ["data", "model", "optimizer", "channels"]
    groups += ["augment"] if params["augment"]["name"] != "unknown" else []
    groups += ["balance"] if params["balance"]["name"] != "none" else []
    chosen = [f"{group}={params[group]['name']}" for group in groups]
    return " ".join(
        ["python -m pipeline.train", *chosen, f"batch_size={params['batch_size']}", f"epochs={params['epochs']}"]
    )


def write_run(store: tracking.Store, run: Mapping[str, Any]) -> None:
    """One FINISHED run; until its last value is in, it is RUNNING, so that a killed import leaves none that counts."""
    run_id = store.start(run["name"], run["params"], run["tags"])
    with tracking.running(store, run_id):
        store.log_curves(run_id, run["history"])
        store.log_metrics(run_id, run["summary"])


if __name__ == "__main__":
    cli.run("import_histories")

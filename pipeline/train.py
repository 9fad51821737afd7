"""Train one model on the resized images, choosing its weights by accuracy or loss on valid; never reads test.

Resumes at the last whole epoch when it was cut off, and skips what has FINISHED already. Writes model.keras,
history.csv, config.yaml, metrics.json and run.json into train/ of the run's folder, and everything into MLflow.
"""

import json
import logging
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.learning import earlier, models
from pipeline.learning.arrays import Arrays, balanced, image_set, read_arrays
from pipeline.learning.checkpoint import Checkpoints, State, own_code
from pipeline.learning.fit import best_epoch, compiled_model, fit
from pipeline.running import cli, sweep, tracking
from pipeline.running.cleaned import require_current
from pipeline.running.config import config_hash, flatten, identity, own_source, run_name
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, locked, whole_folder, write_json
from pipeline.running.run_folder import ABOUT, CONFIG, HISTORY, MODEL
from pipeline.running.signals import stoppable

log = logging.getLogger(__name__)

TIMES = ["epoch_seconds", "epoch_cpu_seconds"]  # of a row of the history: they differ between equal runs
MARK = Path(ABOUT).name  # what every train/ has
OUTAGE = 900  # seconds that a job of a sweep waits for MLflow's server, which was there when the sweep began


def main(cfg: DictConfig) -> str | None:
    values = identity(cfg)
    digest = config_hash(values)
    name = run_name(values)
    arrays = _arrays(cfg, values)
    wait = OUTAGE if sweep.another_ended() else 0
    store = tracking.open_store(cfg.paths.tracking, values["data"]["name"], create=True, wait=wait)
    point = {"config_hash": digest, "train_digest": arrays.digest["train"], "valid_digest": arrays.digest["valid"]}
    point |= {f"{key}_digest": earlier.digest(key, values[key]) for key in tracking.EARLIER if values[key]}
    known = config_hash(point)
    output = Path(cfg.output or f"{cfg.paths.multirun}/{name}-{known[:8]}")
    place = Path(cfg.paths.checkpoints) / f"{name}-{known[:16]}"
    own = own_code([file for group in ("model", "optimizer") if (file := own_source(group, values[group]))])
    if own:
        point["own_code_digest"] = own
    checkpoints = Checkpoints(place, digest, own)

    # Of two processes at one point of a sweep, the second waits and then finds it finished.
    waiting = f"{name}: another process trains the same run; waiting for it"
    with locked(Path(f"{checkpoints.root}.lock"), waiting), stoppable():
        if _arrays(cfg, values) != arrays:
            raise UserError(f"{arrays.folder}: was made of other images while this waited; run the same command again")
        store.reap()
        cut_off = _cut_off(store, checkpoints)
        if not cfg.rerun and (done := store.finished(point)):
            run_id, under = done[0].info.run_id, done[0].data.tags.get("code", checkpoints.code)
            other = "" if under == checkpoints.code else " under other code, Keras or TensorFlow"
            log.info("%s: finished already%s as MLflow run %s; rerun=true trains it again", name, other, run_id)
            _fetch(store, [run.info.run_id for run in done], output)
            return sweep.SKIPPED
        check_place(output / "train", MARK)
        log.info("%s: config hash %s, seed %d, %s", name, digest[:16], values["seed"], _device())
        if values["precision"] != "float32" and _without_bfloat16():
            log.warning("%s: this processor has no instructions for bfloat16: float32 is faster on it", name)
        if cut_off:
            store.resume(cut_off)
        elif checkpoints.of_other_code():
            log.info("%s: was cut off under other code, Keras or TensorFlow; begins anew", name)
        tags = point | {"command": command(), "code": checkpoints.code}
        run_id = cut_off or _new_run(store, name, _params(values), tags)
        with tracking.running(store, run_id), _enough_memory(values):
            model = compiled_model(values, arrays)
            images, flatters = _images(arrays), _caution(values, arrays)
            store.tag(run_id, {"parameters": model.count_params(), **images, **_earlier_runs(values), **flatters})
            if state := checkpoints.restore(model):
                log.info("%s: resumed after epoch %d of %d", name, state.epoch, values["epochs"])
                store.log_history(run_id, state.history)  # it may have been killed between checkpoint and log
            else:
                state = State(0, [], [])
            fit(model, arrays, values, state, partial(_epoch_done, model, checkpoints, store, run_id))
            figures = summary(state, values["monitor"])
            about = figures | point | {"run": name, "data": arrays.name, "run_id": run_id, "command": command()}
            about |= {"made_from": arrays.made_from, "test_digest": arrays.digest["test"]}
            about |= {"train_images": images["train_images"]} | flatters
            _write(output / "train", values, arrays, state, figures, about)
            store.log_metrics(run_id, figures)
            store.log_files(run_id, output / "train", "train")
        checkpoints.remove()
    best, epoch = figures["best_val_accuracy"], figures["best_epoch"]
    log.info("%s: best val_accuracy %.4f in epoch %d; see %s", name, best, epoch, output)
    return None


def _arrays(cfg: DictConfig, values: Mapping[str, Any]) -> Arrays:
    """What there is to train on now; UserError where that isn't of what cleaning keeps, or not balanced as asked."""
    channels, choice = values["channels"]["name"], values["balance"]
    arrays = read_arrays(Path(cfg.paths.resized) / channels, values["data"]["name"])
    require_current(arrays.folder, arrays.made_from, values["data"], Path(cfg.paths.clean))
    return balanced(arrays, Path(cfg.paths.balanced) / choice["name"] / channels, choice)


def _write(place: Path, values: dict, arrays: Arrays, state: State, figures: dict, about: dict) -> None:
    """What a training leaves, whole or not at all: equal runs leave equal files, but for `about`."""
    with whole_folder(place, MARK) as folder:
        bare = models.build(values["model"], arrays.size, arrays.channels)
        bare.set_weights(state.best)
        models.save(bare, folder / Path(MODEL).name)
        pd.DataFrame(state.history).drop(columns=TIMES).to_csv(folder / Path(HISTORY).name, index=False)
        OmegaConf.save(OmegaConf.create(values), folder / Path(CONFIG).name)
        write_json(folder / "metrics.json", figures)
        write_json(folder / MARK, about)


def summary(state: State, monitor: str) -> dict[str, float]:
    """What a finished training is ranked by, of the epoch whose weights are kept; `best_epoch` counts from 1."""
    best = best_epoch(state.history, monitor)
    return {
        "best_val_accuracy": best["val_accuracy"],
        "best_epoch": best["epoch"],
        "val_loss_at_best": best["val_loss"],
    }


def command() -> str:
    """The command line that starts this same run by hand."""
    if not HydraConfig.initialized():
        return ""
    overrides = [o for o in HydraConfig.get().overrides.task if o.lstrip("+").split("=")[0] not in ("output", "rerun")]
    return shlex.join(["python", "-m", "pipeline.train", *overrides])


def _cut_off(store: tracking.Store, checkpoints: Checkpoints) -> str | None:
    """The MLflow run to go on with, the one that its checkpoint is of; None when there is none or it is FINISHED."""
    run_id = checkpoints.run_id()
    status = store.status(run_id) if run_id else None
    if status == "FINISHED":
        checkpoints.remove()  # killed after its end, before it removed them
    return run_id if status not in (None, "FINISHED") else None


def _fetch(store: tracking.Store, done: list[str], output: Path) -> None:
    """Bring the files of the newest of the runs `done` from MLflow into `output`, unless those of one are there."""
    if earlier.run_id(str(output)) in done:
        return
    with whole_folder(output / "train", MARK) as folder:
        files = store.fetch(done[0], "train", folder)
        if not files:
            raise UserError(f"{output}: MLflow has no files of run {done[0]}; rerun=true trains it again")
        for file in files.iterdir():
            file.rename(folder / file.name)
        files.rmdir()
    log.info("its files, from MLflow: %s", output)


def _params(values: Mapping[str, Any]) -> dict[str, Any]:
    """The config as parameters of an MLflow run: the layout as one text, since MLflow takes not every folder's name."""
    data = values["data"]
    return flatten(values | {"data": data | {"layout": json.dumps(data["layout"], ensure_ascii=False)}})


def _new_run(store: tracking.Store, name: str, params: dict, tags: dict) -> str:
    tags |= {"git_commit": tracking.git_commit(), "mlflow.source.name": "pipeline.train", "mlflow.source.type": "LOCAL"}
    run_id = store.start(name, params, tags)
    store.log_dataset(run_id, params["data.name"], tags["train_digest"], "training")
    store.log_dataset(run_id, params["data.name"], tags["valid_digest"], "validation")
    return run_id


def _earlier_runs(values: Mapping[str, Any]) -> dict[str, str]:
    """Which runs the models that this one goes on from, or learns from, are of; no tag where one is of none."""
    ids = {tag: earlier.run_ids(values[choice]) for choice, tag in tracking.EARLIER.items() if values[choice]}
    return {tag: each for tag, each in ids.items() if each}


def _caution(values: Mapping[str, Any], arrays: Arrays) -> dict[str, str]:
    """A caution to note with the run, where the earlier models may have seen its valid or test; it is logged."""
    said = next(filter(None, (earlier.caution(values[key], arrays) for key in tracking.EARLIER if values[key])), "")
    if said:
        log.warning("%s", said)
    return {"caution": said} if said else {}


def _images(arrays: Arrays) -> dict[str, Any]:
    train, valid = arrays.split("train"), arrays.split("valid")
    counts = {"train_images": len(train.images), "valid_images": len(valid.images)}
    return counts | {"valid_set": image_set(valid), "image_size": arrays.size}


def _epoch_done(model, checkpoints, store, run_id, state: State) -> None:
    checkpoints.save(model, state, run_id)  # after the last one too: what is logged once is never trained again
    store.log_epoch(run_id, state.history[-1])


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    return f"training on {len(gpus)} GPU" if gpus else "no GPU found: training on the CPU"


def _without_bfloat16() -> bool:
    """Whether it trains on a processor that names what it can do, and nothing with bfloat16 (x86 and ARM alike)."""
    named = Path("/proc/cpuinfo")  # Linux alone has it
    if tf.config.list_physical_devices("GPU") or not named.exists():
        return False
    return not {b"avx512_bf16", b"amx_bf16", b"bf16"} & set(named.read_bytes().split())


@contextmanager
def _enough_memory(values: Mapping[str, Any]) -> Iterator[None]:
    """Make running out of memory a UserError that says what needs less."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause and not isinstance(cause, MemoryError | tf.errors.ResourceExhaustedError):
            cause = cause.__cause__
        if not cause:
            raise
        raise UserError(
            f"out of memory with model={values['model']['name']} and batch_size={values['batch_size']}; lower "
            "batch_size, choose a smaller model, or run fewer jobs side by side"
        ) from error


if __name__ == "__main__":
    cli.run("train")
